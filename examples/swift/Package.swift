// swift-tools-version:6.2
import PackageDescription

let package = Package(
    name: "quickstart",
    dependencies: [.package(name: "libwalrus", path: "../..")],
    targets: [
        .executableTarget(name: "quickstart", dependencies: [.product(name: "Walrus", package: "libwalrus")]),
        .executableTarget(name: "lines", dependencies: [.product(name: "Walrus", package: "libwalrus")]),
    ]
)
