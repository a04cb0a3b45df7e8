//! A universe in a file, shared by processes that come and go.
//!
//! Invariant: the file is always one whole universe, and no process ever overwrites what another
//! one did: each call locks, reads again if the file is not the one that it wrote last, acts, and
//! replaces the file. Nothing is synced to disk: a killed process loses nothing, a power cut may,
//! and it is only a simulation.

use std::fs::{File, Metadata, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::estate::FORMAT;
use super::universe::Universe;

/// Why the file of a universe cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    #[error("the simulated cloud {} cannot be used: {source}", path.display())]
    File { path: PathBuf, source: std::io::Error },
    #[error("the simulated cloud {} cannot be read: {source}", path.display())]
    Form { path: PathBuf, source: serde_json::Error },
    #[error("the simulated cloud {} was written by another version of migrate; remove it and start again", path.display())]
    Format { path: PathBuf },
}

/// Where a universe lives, and which state of the file we know.
#[derive(Debug)]
pub(super) struct Store {
    path: PathBuf,
    known: Option<Stamp>,
}

/// Tells one written file from another.
#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    modified: Option<SystemTime>,
    length: u64,
    inode: u64,
}

impl Stamp {
    fn of(metadata: &Metadata) -> Stamp {
        Stamp { modified: metadata.modified().ok(), length: metadata.len(), inode: inode(metadata) }
    }
}

#[cfg(unix)]
fn inode(metadata: &Metadata) -> u64 {
    std::os::unix::fs::MetadataExt::ino(metadata)
}

#[cfg(not(unix))]
fn inode(_: &Metadata) -> u64 {
    0
}

impl Store {
    pub fn at(path: &Path) -> Store {
        Store { path: path.to_owned(), known: None }
    }

    fn error(&self, source: std::io::Error) -> StoreError {
        StoreError::File { path: self.path.clone(), source }
    }

    fn beside(&self, extension: &str) -> PathBuf {
        let mut name = self.path.clone().into_os_string();
        name.push(extension);
        PathBuf::from(name)
    }

    /// Keeps other processes out until the returned file is dropped.
    pub fn lock(&self) -> Result<File, StoreError> {
        let path = self.beside(".lock");
        let file = OpenOptions::new().create(true).truncate(false).write(true).open(path).map_err(|e| self.error(e))?;
        file.lock().map_err(|e| self.error(e))?;
        Ok(file)
    }

    /// The universe in the file, unless it is the one that we know already.
    pub fn load_if_changed(&mut self) -> Result<Option<Universe>, StoreError> {
        let metadata = std::fs::metadata(&self.path).map_err(|e| self.error(e))?;
        let stamp = Stamp::of(&metadata);
        if self.known.as_ref() == Some(&stamp) {
            return Ok(None);
        }
        let bytes = std::fs::read(&self.path).map_err(|e| self.error(e))?;
        let form = |source| StoreError::Form { path: self.path.clone(), source };
        let value: serde_json::Value = serde_json::from_slice(&bytes).map_err(form)?;
        if value.get("format").and_then(serde_json::Value::as_u64) != Some(u64::from(FORMAT)) {
            return Err(StoreError::Format { path: self.path.clone() });
        }
        let universe = serde_json::from_value(value).map_err(form)?;
        self.known = Some(stamp);
        Ok(Some(universe))
    }

    /// Replaces the file. The lock makes the name of the new one ours, so that a killed process
    /// leaves at most one file behind, which the next save takes over.
    pub fn save(&mut self, universe: &Universe) -> Result<(), StoreError> {
        let bytes =
            serde_json::to_vec(universe).map_err(|source| StoreError::Form { path: self.path.clone(), source })?;
        let fresh = self.beside(".new");
        std::fs::write(&fresh, bytes).map_err(|e| self.error(e))?;
        let metadata = std::fs::metadata(&fresh).map_err(|e| self.error(e))?;
        std::fs::rename(&fresh, &self.path).map_err(|e| self.error(e))?;
        self.known = Some(Stamp::of(&metadata));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::*;
    use super::super::{Scenario, Sim};
    use super::*;
    use crate::clock::Clock;
    use crate::cloud::Cloud;

    #[test]
    fn a_run_goes_on_in_another_process() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("universe.json");
        let first = Sim::create(&path, universe(Scenario::Healthy)).unwrap();
        let (green, _) = stand_up(&first);
        pass(&first, 120);
        let second = Sim::open(&path).unwrap();
        assert_eq!(second.universe(), first.universe());
        shift_all(&second, &green, 10);
        assert_eq!(routes(&first), routes(&second));
        pass(&second, 24 * 3600);
        first.identity().unwrap();
        assert!(first.now() > second.now());
        assert!(std::fs::metadata(&path).unwrap().len() < 100_000);
        assert_eq!(Sim::open(&path).unwrap().universe(), first.universe());
    }

    #[test]
    fn a_killed_writer_leaves_the_last_whole_universe() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("universe.json");
        let sim = Sim::create(&path, universe(Scenario::Healthy)).unwrap();
        std::fs::write(folder.path().join("universe.json.new"), "{\"format\": 1, \"seed").unwrap();
        assert_eq!(Sim::open(&path).unwrap().universe(), sim.universe());
        sim.identity().unwrap();
        assert_eq!(Sim::open(&path).unwrap().universe(), sim.universe());
    }

    #[test]
    fn a_file_costs_little() {
        let folder = tempfile::tempdir().unwrap();
        let sim = Sim::create(&folder.path().join("universe.json"), universe(Scenario::Healthy)).unwrap();
        let (green, _) = stand_up(&sim);
        pass(&sim, 120);
        shift_all(&sim, &green, 50);
        let begun = std::time::Instant::now();
        for _ in 0..100 {
            minutes(&sim, &green, 15).unwrap();
        }
        let took = begun.elapsed();
        assert!(took.as_millis() < 4000, "{took:?} for 100 calls");
    }

    #[test]
    fn processes_do_not_lose_each_others_changes() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("universe.json");
        drop(Sim::create(&path, universe(Scenario::Healthy)).unwrap());
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    let sim = Sim::open(&path).unwrap();
                    for _ in 0..10 {
                        sim.identity().unwrap();
                    }
                });
            }
        });
        assert_eq!(Sim::open(&path).unwrap().universe().calls.count, 40);
    }

    #[test]
    fn what_is_no_universe_is_said_to_be_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("universe.json");
        assert!(matches!(Sim::open(&path), Err(StoreError::File { .. })));
        std::fs::write(&path, "{").unwrap();
        assert!(matches!(Sim::open(&path), Err(StoreError::Form { .. })));
        std::fs::write(&path, r#"{ "format": 999 }"#).unwrap();
        assert!(matches!(Sim::open(&path), Err(StoreError::Format { .. })));
        let sim = Sim::create(&path, universe(Scenario::Healthy)).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert!(sim.identity().is_err());
    }
}
