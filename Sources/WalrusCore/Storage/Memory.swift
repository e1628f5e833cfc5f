// Memory.swift - memory from C, whose failure is an error
//
// Swift ends the process when its allocator fails. Whatever has a size that depends on input, on options or on the disk
// comes from here instead. Types with a deinit are public: the compiler cannot destroy others in the module of the boundary.

import CWalrusPlatform

/// A block of memory with one owner.
@safe public struct Memory: ~Copyable, @unchecked Sendable {
    public let bytes: MutableBytes

    public init(count: Int) throws(LogError) {
        guard let base = unsafe malloc(count > 0 ? count : 1) else {
            throw LogError(.noMemory, "there is not enough memory for a buffer")
        }
        unsafe bytes = MutableBytes(base, count: count)
    }

    /// At an address that is a multiple of `alignment`, for reads past the page cache.
    init(count: Int, alignment: Int) throws(LogError) {
        var base: UnsafeMutableRawPointer? = nil
        guard unsafe posix_memalign(&base, alignment, count > 0 ? count : 1) == 0, let base = unsafe base else {
            throw LogError(.noMemory, "there is not enough memory for a buffer")
        }
        unsafe bytes = MutableBytes(base, count: count)
    }

    deinit { unsafe free(bytes.base) }
}

/// Memory that is asked for in address space and takes up pages only where it was touched, so it grows
/// without ever moving: readers may look at it while its owner appends. Zero where nothing was stored.
@safe public struct ReservedMemory: ~Copyable, @unchecked Sendable {
    let bytes: MutableBytes

    init(count: Int) throws(LogError) {
        guard let base = unsafe wp_reserve(UInt64(count)) else {
            throw LogError(.noMemory, "there is not enough address space for an offset table")
        }
        unsafe bytes = MutableBytes(base, count: count)
    }

    deinit { unsafe munmap(bytes.base, bytes.count) }
}

/// A growing array of plain values in memory from C.
@safe public struct CArray<Element: BitwiseCopyable>: ~Copyable, @unchecked Sendable {
    private var base: UnsafeMutablePointer<Element>? = nil
    private(set) var count = 0
    private var capacity = 0

    init() {}

    subscript(_ i: Int) -> Element {
        @inline(__always) get {
            precondition(i >= 0 && i < count)
            return unsafe base.unsafelyUnwrapped[i]
        }
        @inline(__always) set {
            precondition(i >= 0 && i < count)
            unsafe base.unsafelyUnwrapped[i] = newValue
        }
    }

    var last: Element? { count > 0 ? self[count - 1] : nil }
    /// Whether as many more appends cannot fail.
    func hasRoom(for more: Int) -> Bool { count + more <= capacity }

    /// Makes room for `more` elements, so that as many appends cannot fail.
    mutating func reserve(_ more: Int) throws(LogError) {
        guard count + more > capacity else { return }
        let larger = max(16, max(capacity * 2, count + more))
        if grow(to: larger) { return }
        // Where memory is short, what is needed may still be had.
        guard grow(to: count + more) else {
            throw LogError(.noMemory, "there is not enough memory for a list that has to grow")
        }
    }

    private mutating func grow(to larger: Int) -> Bool {
        guard let moved = unsafe realloc(base, larger * MemoryLayout<Element>.stride) else { return false }
        unsafe base = moved.assumingMemoryBound(to: Element.self)
        capacity = larger
        return true
    }

    mutating func append(_ element: Element) throws(LogError) {
        try reserve(1)
        unsafe (base.unsafelyUnwrapped + count).initialize(to: element)
        count += 1
    }

    mutating func removeFirst(_ number: Int) {
        precondition(number >= 0 && number <= count)
        if number == 0 { return }
        if count > number {
            unsafe base.unsafelyUnwrapped.update(from: base.unsafelyUnwrapped + number, count: count - number)
        }
        count -= number
    }

    mutating func removeLast(_ number: Int) {
        precondition(number >= 0 && number <= count)
        count -= number
    }

    /// Sorts by a key, in place: heapsort, which needs neither memory nor a kind order of the directory.
    mutating func sort(by key: (Element) -> UInt64) {
        if count < 2 { return }
        var end = count
        var start = count / 2
        while end > 1 {
            if start > 0 {
                start -= 1
            } else {
                end -= 1
                let top = self[0]
                self[0] = self[end]
                self[end] = top
            }
            var root = start
            while 2 * root + 1 < end {
                var child = 2 * root + 1
                if child + 1 < end, key(self[child]) < key(self[child + 1]) { child += 1 }
                if key(self[root]) >= key(self[child]) { break }
                let moved = self[root]
                self[root] = self[child]
                self[child] = moved
                root = child
            }
        }
    }

    /// Its elements, for as long as nobody changes it.
    var view: CArrayView<Element> { unsafe CArrayView(base, count: count) }

    deinit { unsafe free(base) }
}

extension CArray where Element == UInt8 {
    /// Appends a copy of `bytes`.
    mutating func append(copyOf bytes: Bytes) throws(LogError) {
        guard let source = unsafe bytes.base, bytes.count > 0 else { return }
        try reserve(bytes.count)
        unsafe memcpy(base.unsafelyUnwrapped + count, source, bytes.count)
        count += bytes.count
    }

    var bytes: Bytes { unsafe Bytes(base, count: count) }
}

/// A look at the elements of an array.
@safe struct CArrayView<Element: BitwiseCopyable>: @unchecked Sendable {
    private let base: UnsafeMutablePointer<Element>?
    let count: Int

    fileprivate init(_ base: UnsafeMutablePointer<Element>?, count: Int) {
        unsafe self.base = base
        self.count = count
    }

    subscript(_ i: Int) -> Element {
        @inline(__always) get {
            precondition(i >= 0 && i < count)
            return unsafe base.unsafelyUnwrapped[i]
        }
    }
}
