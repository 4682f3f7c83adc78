//! Compiles the C++ shim with the headers of the libtorch that `tch` is built with: the same variables say where it is.

use std::path::PathBuf;

fn main() {
    for name in ["LIBTORCH", "LIBTORCH_INCLUDE"] {
        println!("cargo:rerun-if-env-changed={name}");
    }
    println!("cargo:rerun-if-changed=src/shim/shim.cpp");
    let folder = std::env::var_os("LIBTORCH_INCLUDE")
        .or_else(|| std::env::var_os("LIBTORCH"))
        .map(PathBuf::from)
        .expect("LIBTORCH says where libtorch is; run `make setup`");
    cc::Build::new()
        .cpp(true)
        .pic(true)
        .warnings(false)
        .std("c++17")
        .define("GLOG_USE_GLOG_EXPORT", None)
        .include(folder.join("include"))
        .include(folder.join("include/torch/csrc/api/include"))
        .file("src/shim/shim.cpp")
        .compile("wtt_shim");
}
