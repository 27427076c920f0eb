//! What tests install for themselves, once for all of them: packages of npm and of pip.

use std::fs::File;
use std::path::Path;

/// Waits for the turn to look whether `what` is there, and to install it: tests that run side by side want the same. The turn
/// ends when what is returned is dropped. It is the thread that waits: futures of one task must not both ask for it.
///
/// # Errors
/// If there can be no file for it in the build directory.
pub fn turn(what: &str) -> std::io::Result<File> {
    let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
    std::fs::create_dir_all(&target)?;
    let file = File::create(target.join(format!("{what}.lock")))?;
    file.lock()?;
    Ok(file)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn one_has_the_turn_at_a_time() {
        let what = format!("turn-{}", std::process::id());
        let mine = turn(&what).unwrap();
        let (had, has) = std::sync::mpsc::sync_channel(1);
        let name = what.clone();
        let other = std::thread::spawn(move || {
            let turn = turn(&name).unwrap();
            had.send(()).unwrap();
            turn
        });
        assert!(has.recv_timeout(Duration::from_millis(200)).is_err());
        drop(mine);
        has.recv_timeout(Duration::from_secs(10)).unwrap();
        drop(other.join().unwrap());
        let target = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target");
        std::fs::remove_file(target.join(format!("{what}.lock"))).unwrap();
    }
}
