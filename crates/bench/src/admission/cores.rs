//! Which core runs what: what is measured alone on one, whoever drives it on another (`taskset` of util-linux).

use std::{fs, path::Path};

use tokio::process::Command;

use crate::process::said;

/// The cores of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Cores {
    /// For the process that is measured.
    server: usize,
    /// For everything else: the generator, this program.
    driver: usize,
}

impl Cores {
    /// The first and the last core that this process may use.
    ///
    /// # Errors
    /// There is only one, or no `taskset`.
    pub(crate) fn find() -> Result<Self, String> {
        said("taskset", &["--version"])
            .map_err(|_| "there is no `taskset` to pin processes to cores with (Debian: apt-get install util-linux)")?;
        let status = fs::read_to_string("/proc/self/status").map_err(|e| e.to_string())?;
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:"));
        let allowed = cores(list.unwrap_or_default().trim()).ok_or("/proc/self/status does not say which cores")?;
        match allowed[..] {
            [server, .., driver] => Ok(Self { server, driver }),
            _ => Err("two cores are needed: one for what is measured, one for whoever drives it".to_owned()),
        }
    }

    /// From now on this process, and whatever it starts without a word about cores, runs on the driver's core.
    ///
    /// # Errors
    /// The system refuses.
    pub(crate) fn take_the_drivers(&self) -> Result<(), String> {
        let (core, own) = (self.driver.to_string(), std::process::id().to_string());
        said("taskset", &["--all-tasks", "--cpu-list", "--pid", &core, &own]).map(drop)
    }

    /// A call of `program` on the server's core.
    pub(crate) fn server(&self, program: &Path) -> Command {
        on(&self.server.to_string(), program)
    }

    /// A call of `program` that may use both.
    pub(crate) fn both(&self, program: &Path) -> Command {
        on(&format!("{},{}", self.server, self.driver), program)
    }
}

/// `taskset` becomes the program: its process id is the program's.
fn on(cores: &str, program: &Path) -> Command {
    let mut command = Command::new("taskset");
    command.args(["--cpu-list", cores]).arg(program).kill_on_drop(true);
    command
}

/// The numbers in a list of the kernel's, such as `0-2,5`.
fn cores(list: &str) -> Option<Vec<usize>> {
    let mut numbers = Vec::new();
    for part in list.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        numbers.extend(first.parse::<usize>().ok()?..=last.parse().ok()?);
    }
    Some(numbers)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_cores_has_ranges_and_single_ones() {
        assert_eq!(cores("0-2,5"), Some(vec![0, 1, 2, 5]));
        assert_eq!(cores("3"), Some(vec![3]));
        assert_eq!(cores(""), None);
    }
}
