//! Compiles the wait. Elsewhere than with glibc librdkafka keeps its own.

fn main() {
    println!("cargo:rerun-if-changed=src/cnd_timedwait.c");
    if std::env::var("CARGO_CFG_TARGET_ENV").as_deref() != Ok("gnu") {
        return;
    }
    // Whole: nothing that the linker has met when it comes to this library asks for the wait; librdkafka comes later.
    cc::Build::new()
        .file("src/cnd_timedwait.c")
        .link_lib_modifier("+whole-archive")
        .compile("librdkafka_clock");
}
