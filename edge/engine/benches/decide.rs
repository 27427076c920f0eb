//! One whole decision.
fn main() {
    divan::main();
}
