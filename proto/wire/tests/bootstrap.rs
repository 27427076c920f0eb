//! The committed bindings are those that the .proto files give.

use std::path::Path;

#[test]
fn the_committed_bindings_are_current() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let files =
        ["control", "counter", "ledger"].map(|name| root.join(format!("proctor/v1/{name}.proto")));
    let descriptors = protox::compile(&files, [&root]).unwrap();
    let out = tempfile::tempdir().unwrap();
    tonic_prost_build::configure()
        .out_dir(out.path())
        .compile_fds(descriptors)
        .unwrap();
    let fresh = std::fs::read_to_string(out.path().join("proctor.v1.rs")).unwrap();
    let committed = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/generated/proctor.v1.rs");
    if std::env::var_os("PROCTOR_REGEN").is_some() {
        std::fs::create_dir_all(committed.parent().unwrap()).unwrap();
        std::fs::write(&committed, fresh).unwrap();
        return;
    }
    let current = std::fs::read_to_string(&committed).unwrap_or_default();
    assert!(
        current == fresh,
        "the bindings are out of date: run `make regen`"
    );
}
