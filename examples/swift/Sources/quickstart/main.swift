// Appends an entry, reads it back: swift run quickstart
import Walrus

do {
    let log = try Log("orders")
    let index = try log.append("hello")  // durable on return
    print("entry \(index): \(try log.get(index).string)")
    try log.close()
} catch {
    print("orders: \(error)")
}
