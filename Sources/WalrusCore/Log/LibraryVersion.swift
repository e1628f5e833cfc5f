// LibraryVersion.swift - the one place in the sources that says it, besides the header's macros

public enum LibraryVersion {
    public static var text: StaticString { "0.2.0" }
    /// major * 10000 + minor * 100 + patch
    public static var number: UInt32 { 200 }
    /// The number in the soname.
    public static var abi: UInt32 { 1 }
}
