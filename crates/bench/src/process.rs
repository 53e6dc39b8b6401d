//! What the operating system says of a process: the processor time it used and the memory it holds.

use std::{fs, path::PathBuf, process::Command, time::Duration};

/// A process of this machine, by its number.
#[derive(Clone, Debug)]
pub(crate) struct Process {
    folder: PathBuf,
    ticks_per_s: f64,
}

/// Memory of a process, kB.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Memory {
    /// Resident, shared pages counted in full (`Rss`).
    pub(crate) rss_kb: u64,
    /// Resident, shared pages counted by share (`Pss`).
    pub(crate) pss_kb: u64,
}

impl Process {
    /// The process with this number.
    ///
    /// # Errors
    /// The system does not tell how long a tick of its accounting is.
    pub(crate) fn new(pid: u32) -> Result<Self, String> {
        let ticks = said("getconf", &["CLK_TCK"])?;
        let ticks_per_s = ticks.parse().map_err(|_| format!("CLK_TCK is {ticks}"))?;
        Ok(Self { folder: PathBuf::from(format!("/proc/{pid}")), ticks_per_s })
    }

    /// Its number.
    pub(crate) fn id(&self) -> String {
        self.folder.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    /// User and system time of all its threads since its start, also of those that have ended.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn cpu(&self) -> Result<Duration, String> {
        let stat = Stat::of(&self.read("stat")?).ok_or(FORM)?;
        Ok(Duration::from_secs_f64(stat.own as f64 / self.ticks_per_s))
    }

    /// User and system time of it, of all processes below it, and of those below it that have ended and were waited for: a
    /// server that serves each client with a process of its own.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn familys_cpu(&self) -> Result<Duration, String> {
        let root = self.id();
        let all: Vec<(String, Stat)> = fs::read_dir("/proc")
            .map_err(|e| e.to_string())?
            .filter_map(|entry| {
                let entry = entry.ok()?;
                // One that ends meanwhile is its parent's by then.
                let stat = Stat::of(&fs::read_to_string(entry.path().join("stat")).ok()?)?;
                Some((entry.file_name().to_string_lossy().into_owned(), stat))
            })
            .collect();
        if all.iter().all(|(id, _)| *id != root) {
            return Err(format!("process {root} is gone"));
        }
        let (mut ticks, mut generation) = (0, vec![root]);
        while let Some(id) = generation.pop() {
            for (child, stat) in &all {
                if *child == id {
                    ticks += stat.own + stat.ended_children;
                } else if stat.parent == id {
                    generation.push(child.clone());
                }
            }
        }
        Ok(Duration::from_secs_f64(ticks as f64 / self.ticks_per_s))
    }

    /// User and system time of its children that have ended and were waited for.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn ended_childrens_cpu(&self) -> Result<Duration, String> {
        let stat = Stat::of(&self.read("stat")?).ok_or(FORM)?;
        Ok(Duration::from_secs_f64(stat.ended_children as f64 / self.ticks_per_s))
    }

    /// User and system time of its first thread alone, to the nanosecond while that thread waits.
    ///
    /// # Errors
    /// The process is gone.
    pub(crate) fn first_threads_cpu(&self) -> Result<Duration, String> {
        let text = self.read("schedstat")?;
        let ns = text.split_whitespace().next().and_then(|ns| ns.parse().ok());
        Ok(Duration::from_nanos(ns.ok_or("/proc/…/schedstat has another form than expected")?))
    }

    /// The memory it holds now.
    ///
    /// # Errors
    /// The process is gone, or the kernel does not tell.
    pub(crate) fn memory(&self) -> Result<Memory, String> {
        let text = self.read("smaps_rollup")?;
        let kb = |name| kilobytes(&text, name).ok_or_else(|| format!("no {name} in smaps_rollup"));
        Ok(Memory { rss_kb: kb("Rss:")?, pss_kb: kb("Pss:")? })
    }

    fn read(&self, file: &str) -> Result<String, String> {
        let path = self.folder.join(file);
        fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))
    }
}

const FORM: &str = "/proc/…/stat has another form than expected";

/// Some fields of proc_pid_stat(5); times in ticks.
#[derive(Debug, PartialEq, Eq)]
struct Stat {
    parent: String,
    /// `utime` and `stime`.
    own: u64,
    /// `cutime` and `cstime`.
    ended_children: u64,
}

impl Stat {
    /// The second field is a name that may hold anything.
    fn of(stat: &str) -> Option<Self> {
        let after_name = &stat[stat.rfind(')')? + 1..];
        let fields: Vec<&str> = after_name.split_whitespace().collect();
        let ticks = |place: usize| fields.get(place)?.parse::<u64>().ok();
        let parent = (*fields.get(1)?).to_owned();
        Some(Self { parent, own: ticks(11)? + ticks(12)?, ended_children: ticks(13)? + ticks(14)? })
    }
}

fn kilobytes(text: &str, name: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix(name))?;
    line.split_whitespace().next()?.parse().ok()
}

/// What a command of the system prints, trimmed.
///
/// # Errors
/// It cannot be run or fails.
pub(crate) fn said(command: &str, arguments: &[&str]) -> Result<String, String> {
    let output = Command::new(command).args(arguments).output().map_err(|e| format!("{command}: {e}"))?;
    if !output.status.success() {
        return Err(format!("{command}: {}", output.status));
    }
    Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn user_and_system_time_are_added_whatever_the_process_is_called() {
        let stat = "7 (a ) b) S 1 7 7 0 -1 4194304 1 2 3 4 500 21 30 4 20 0 9 0 1 1 1";
        assert_eq!(Stat::of(stat), Some(Stat { parent: "1".to_owned(), own: 521, ended_children: 34 }));
        assert_eq!(Stat::of("nonsense"), None);
    }

    #[test]
    fn pss_is_not_taken_for_one_of_its_parts() {
        let text = "00-ff ---p 0 0:0 0 [rollup]\nRss:    2048 kB\nPss:    1024 kB\nPss_Dirty:  7 kB\n";
        assert_eq!((kilobytes(text, "Rss:"), kilobytes(text, "Pss:")), (Some(2048), Some(1024)));
    }

    #[test]
    fn this_process_has_used_time_and_memory() {
        let own = Process::new(std::process::id()).unwrap();
        assert!(own.cpu().is_ok() && own.first_threads_cpu().is_ok() && own.ended_childrens_cpu().is_ok());
        let alone = own.cpu().unwrap();
        assert!(own.familys_cpu().unwrap() >= alone, "it is of its own family");
        assert_eq!(own.id(), std::process::id().to_string());
        let memory = own.memory().unwrap();
        assert!(memory.rss_kb >= memory.pss_kb && memory.pss_kb > 0);
    }
}
