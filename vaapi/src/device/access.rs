//! Who may open a node, in words.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;

use super::DeviceError;

/// Why a node may not be opened by this process.
pub(super) fn denied(path: &Path) -> DeviceError {
    // A process owns its folder below /proc with its effective user.
    let user_id = fs::metadata("/proc/self").map(|found| found.uid()).ok();
    let user = user_id.map_or_else(|| "unknown".to_owned(), |id| name_of("/etc/passwd", id));
    let group =
        fs::metadata(path).ok().filter(|found| found.mode() & 0o060 == 0o060).map(|found| found.gid());
    let remedy = match group {
        // Adding anybody to root's group would give away more than a GPU.
        Some(id) if id != 0 => {
            let group = name_of("/etc/group", id);
            format!("add it to group {group} (usermod -aG {group} {user}) and start it anew")
        }
        _ => "give the node to group render, mode 0660, and add the user to that group".to_owned(),
    };
    DeviceError::Denied { path: path.to_path_buf(), user, remedy }
}

/// The name of a user or group in a file of `name:password:number:...` lines; the number where it has none.
fn name_of(file: &str, id: u32) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let name = text.lines().find_map(|line| {
        let mut fields = line.split(':');
        let (name, number) = (fields.next()?, fields.nth(1)?);
        (number.parse() == Ok(id)).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| id.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_and_numbers_stand_in() {
        assert_eq!(name_of("/etc/passwd", 0), "root");
        assert_eq!(name_of("/etc/group", 0), "root");
        assert_eq!(name_of("/etc/passwd", 4_000_000_000), "4000000000");
        assert_eq!(name_of("/nonexistent", 7), "7");
    }

    #[test]
    fn the_remedy_names_user_and_group() {
        let folder = tempfile::tempdir().unwrap();
        let node = folder.path().join("renderD128");
        fs::write(&node, "").unwrap();
        let text = denied(&node).to_string();
        assert!(text.contains("renderD128 is not accessible to user "), "{text}");
        assert!(text.contains("group"), "{text}");
    }
}
