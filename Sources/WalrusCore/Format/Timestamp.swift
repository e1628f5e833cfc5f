// Timestamp.swift - nanoseconds since 1970 as people write them: 2026-11-24T15:00:00.123456789Z
//
// RFC 3339, always in UTC and with nine digits, in the proleptic Gregorian calendar without leap seconds. Every Int64 has a form,
// from 1677-09-21T00:12:43.145224192Z to 2262-04-11T23:47:16.854775807Z. The calendar is Howard Hinnant's, "chrono-Compatible
// Low-Level Date Algorithms": years begin in March, so that the leap day is the last one, and 400 years are an era.

enum Timestamp {
    static var size: Int { 30 }

    private static var second: Int64 { 1_000_000_000 }
    private static var day: Int64 { 86400 }
    /// Days from the first of March of the year 0 to 1970.
    private static var epoch: Int64 { 719_468 }
    private static var era: Int64 { 146_097 }

    static func encode(_ time: Int64, to target: MutableBytes) {
        let (seconds, nanoseconds) = floored(time, second)
        let (days, secondOfDay) = floored(seconds, day)
        let (year, month, dayOfMonth) = date(days)
        put(year, 4, to: target, 0)
        target.store8(0x2d, 4)
        put(month, 2, to: target, 5)
        target.store8(0x2d, 7)
        put(dayOfMonth, 2, to: target, 8)
        target.store8(0x54, 10)
        put(secondOfDay / 3600, 2, to: target, 11)
        target.store8(0x3a, 13)
        put(secondOfDay / 60 % 60, 2, to: target, 14)
        target.store8(0x3a, 16)
        put(secondOfDay % 60, 2, to: target, 17)
        target.store8(0x2e, 19)
        put(nanoseconds, 9, to: target, 20)
        target.store8(0x5a, 29)
    }

    /// The time in `size` bytes, or nil if no `encode` wrote them.
    static func decode(_ source: Bytes) -> Int64? {
        guard source.count == size, source.u8(4) == 0x2d, source.u8(7) == 0x2d, source.u8(10) == 0x54, source.u8(13) == 0x3a,
            source.u8(16) == 0x3a, source.u8(19) == 0x2e, source.u8(29) == 0x5a,
            let year = number(source, 0, 4), let month = number(source, 5, 2), let dayOfMonth = number(source, 8, 2),
            let hour = number(source, 11, 2), let minute = number(source, 14, 2), let secondOfMinute = number(source, 17, 2),
            let nanoseconds = number(source, 20, 9),
            month >= 1, month <= 12, dayOfMonth >= 1, dayOfMonth <= 31, hour <= 23, minute <= 59, secondOfMinute <= 59
        else { return nil }
        let days = days(year, month, dayOfMonth)
        // A 31st of June is a first of July.
        guard date(days) == (year, month, dayOfMonth) else { return nil }
        let seconds = days * day + hour * 3600 + minute * 60 + secondOfMinute
        // The lowest times lie in a second whose beginning is no Int64, so those before 1970 are told from the end of theirs.
        let (whole, part) = seconds < 0 ? (seconds + 1, nanoseconds - second) : (seconds, nanoseconds)
        let (product, isTooLarge) = whole.multipliedReportingOverflow(by: second)
        let (time, isStillTooLarge) = product.addingReportingOverflow(part)
        return isTooLarge || isStillTooLarge ? nil : time
    }

    private static func floored(_ value: Int64, _ divisor: Int64) -> (quotient: Int64, rest: Int64) {
        let (quotient, rest) = value.quotientAndRemainder(dividingBy: divisor)
        return rest < 0 ? (quotient - 1, rest + divisor) : (quotient, rest)
    }

    private static func date(_ days: Int64) -> (year: Int64, month: Int64, day: Int64) {
        let (era, dayOfEra) = floored(days + epoch, era)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * monthFromMarch + 2) / 5 + 1)
    }

    private static func days(_ year: Int64, _ month: Int64, _ day: Int64) -> Int64 {
        let (era, yearOfEra) = floored(month <= 2 ? year - 1 : year, 400)
        let dayOfYear = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1
        return era * Timestamp.era + yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear - epoch
    }

    private static func put(_ value: Int64, _ digits: Int, to target: MutableBytes, _ at: Int) {
        var rest = UInt32(truncatingIfNeeded: value)
        var i = at &+ digits
        while i > at {
            i &-= 1
            target.store8(0x30 &+ UInt8(truncatingIfNeeded: rest % 10), i)
            rest /= 10
        }
    }

    private static func number(_ source: Bytes, _ at: Int, _ digits: Int) -> Int64? {
        var value: Int64 = 0
        for i in at..<at &+ digits {
            let digit = source.u8(i) &- 0x30
            if digit > 9 { return nil }
            value = value * 10 + Int64(digit)
        }
        return value
    }
}
