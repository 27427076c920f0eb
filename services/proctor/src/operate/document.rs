//! Documents that an operator hands over: a file, or standard input.

use anyhow::{Context, bail};
use std::io::Read as _;
use std::path::Path;

/// The text of a file, of standard input if it is called `-`. One that is larger is refused, not cut.
pub(super) fn read(path: &Path, bytes_max: u64) -> anyhow::Result<String> {
    let mut text = String::new();
    let most = bytes_max.saturating_add(1);
    let read = match path == Path::new("-") {
        true => std::io::stdin().take(most).read_to_string(&mut text),
        false => std::fs::File::open(path)
            .with_context(|| path.display().to_string())?
            .take(most)
            .read_to_string(&mut text),
    };
    let bytes = read.with_context(|| format!("{}: reading it as UTF-8", path.display()))?;
    if u64::try_from(bytes).unwrap_or(u64::MAX) > bytes_max {
        bail!("{}: larger than {bytes_max} bytes", path.display());
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_read_whole_or_not_at_all() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("document.json");
        std::fs::write(&file, "{\"a\": 1}").unwrap();
        assert_eq!(read(&file, 8).unwrap(), "{\"a\": 1}");
        assert!(read(&file, 7).is_err());
        assert!(read(&folder.path().join("absent"), 8).is_err());
    }
}
