// swift-tools-version:6.2
import PackageDescription

// The same sources are built twice. WALRUS_EMBEDDED=1 makes the library that is shipped: Embedded Swift, no
// runtime. Without it they are built the ordinary way, for `swift test` and the sanitizers. (A package trait would
// not do: it also reaches the link step of builds without the trait.)
let embedded = Context.environment["WALRUS_EMBEDDED"] == "1"

let settings: [SwiftSetting] =
    [.swiftLanguageMode(.v6), .strictMemorySafety(), .treatAllWarnings(as: .error)]
    + (embedded ? [.enableExperimentalFeature("Embedded")] : [])

// Only walrus_* may leave the library: an exported swift_retain would take over that of a Swift host.
let exports: [LinkerSetting] = [
    .unsafeFlags(
        [
            "--version-script=\(Context.packageDirectory)/Sources/WalrusABI/exports.map",
            "-soname=libwalrus.so.1", "--no-undefined", "-z", "nodelete", "-z", "now",
        ].flatMap { ["-Xlinker", $0] } + ["-use-ld=lld"])
]

let package = Package(
    name: "libwalrus",
    products: [.library(name: "walrus", type: .dynamic, targets: ["WalrusABI"])]
        + (embedded ? [] : [.library(name: "Walrus", targets: ["Walrus"])]),
    targets: [
        .systemLibrary(name: "CWalrus", path: "include"),
        .target(
            name: "CWalrusPlatform",
            cSettings: [.unsafeFlags(["-O2", "-Wall", "-Wextra", "-Werror"])]
                + (embedded ? [.define("WALRUS_EMBEDDED")] : []),
            linkerSettings: [.linkedLibrary("z")]),
        .target(name: "WalrusCore", dependencies: ["CWalrusPlatform"], swiftSettings: settings),
        .target(
            name: "WalrusABI", dependencies: ["WalrusCore", "CWalrusPlatform", "CWalrus"], exclude: ["exports.map"],
            swiftSettings: settings,
            linkerSettings: embedded ? exports : []),
    ]
        + (embedded
            ? []
            : [
                // The same engine for Swift programs, which have a runtime. Lifetimes: for spans over an entry's bytes.
                .target(
                    name: "Walrus", dependencies: ["WalrusCore"],
                    swiftSettings: settings + [.enableExperimentalFeature("Lifetimes")]),
                .testTarget(
                    name: "WalrusTests", dependencies: ["Walrus"], swiftSettings: [.swiftLanguageMode(.v6)]),
                .target(
                    name: "WalrusSimulation", dependencies: ["WalrusCore", "CWalrusPlatform"],
                    path: "Tests/WalrusSimulation",
                    swiftSettings: settings),
                .testTarget(
                    name: "WalrusCoreTests", dependencies: ["WalrusCore", "WalrusSimulation", "CWalrusPlatform"],
                    swiftSettings: [.swiftLanguageMode(.v6)]),
            ])
)
