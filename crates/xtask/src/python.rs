//! Python: whether it is there, and an environment of its own for what the fuzz run needs.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Output,
};

use crate::program::{Program, root, target, text};

/// What the pinned tools need.
const OLDEST: (u32, u32) = (3, 11);
/// Fails where a part of Python is missing that some systems package apart.
const PROBE: &str = "import sys, venv, ensurepip; print('%d.%d' % sys.version_info[:2])";

/// Whether there is a Python that the conformance walk and the fuzz run can use.
///
/// # Errors
/// What is missing, how to install it, and how to do without.
pub(crate) async fn check() -> Result<(), String> {
    let answer = Program::new("python3").arguments(["-c", PROBE]).output().await;
    judge(&answer).map_err(|what| {
        format!(
            "{what}\nThe conformance walk and the fuzz run need Python {}.{} or newer with venv and pip. \
             On Debian: apt-get install python3 python3-venv\n\
             To leave these two out: cargo xtask test --without-python",
            OLDEST.0, OLDEST.1
        )
    })
}

fn judge(answer: &Result<Output, String>) -> Result<(), String> {
    let output = answer.as_ref().map_err(|_| "There is no python3 in the search path.".to_owned())?;
    if !output.status.success() {
        return Err("There is a python3, but it lacks venv or ensurepip.".to_owned());
    }
    let version = String::from_utf8_lossy(&output.stdout).trim().to_owned();
    let number = version.split_once('.').and_then(|(a, b)| Some((a.parse().ok()?, b.parse().ok()?)));
    match number {
        Some(number) if number >= OLDEST => Ok(()),
        _ => Err(format!("python3 is Python {version}.")),
    }
}

/// The folder of the programs that `tests/fuzz/requirements.txt` names: installed when they are not, or when that file
/// has changed since. pip asks whatever it is configured to ask on this machine.
///
/// # Errors
/// The environment could not be made.
pub(crate) async fn environment() -> Result<PathBuf, String> {
    let (folder, wanted) = (target()?.join("fuzz").join("venv"), root().join("tests/fuzz/requirements.txt"));
    let stamp = folder.join("requirements.installed");
    if is_same(&stamp, &wanted) {
        return Ok(folder.join("bin"));
    }
    eprintln!("xtask: installing what tests/fuzz/requirements.txt names into {}", folder.display());
    let make = Program::new("python3").arguments(["-m", "venv", "--clear"]).arguments([&folder]);
    quietly(make).await?;
    let install = ["-m", "pip", "install", "--quiet", "--no-input", "--disable-pip-version-check", "--require-hashes"];
    let pip = Program::new(folder.join("bin/python")).arguments(install).arguments(["-r".as_ref(), wanted.as_os_str()]);
    quietly(pip).await?;
    // Last: an installation that was cut short is done again.
    fs::copy(&wanted, &stamp).map_err(|error| format!("{}: {error}", stamp.display()))?;
    Ok(folder.join("bin"))
}

async fn quietly(program: Program) -> Result<(), String> {
    let output = program.output().await?;
    if output.status.success() { Ok(()) } else { Err(format!("{}\n{}", output.status, text(&output).trim_end())) }
}

fn is_same(a: &Path, b: &Path) -> bool {
    matches!((fs::read(a), fs::read(b)), (Ok(a), Ok(b)) if a == b)
}

#[cfg(test)]
mod tests {
    use std::{os::unix::process::ExitStatusExt as _, process::ExitStatus};

    use super::*;

    fn said(code: i32, text: &str) -> Result<Output, String> {
        Ok(Output { status: ExitStatus::from_raw(code << 8), stdout: text.into(), stderr: vec![] })
    }

    #[test]
    fn a_python_that_is_missing_too_old_or_incomplete_is_told_apart() {
        assert_eq!(judge(&said(0, "3.11\n")), Ok(()));
        assert_eq!(judge(&said(0, "3.14\n")), Ok(()));
        assert_eq!(judge(&said(0, "4.0\n")), Ok(()));
        assert!(judge(&said(0, "3.9\n")).unwrap_err().contains("Python 3.9"));
        assert!(judge(&said(1, "")).unwrap_err().contains("venv"));
        assert!(judge(&Err("not found".to_owned())).unwrap_err().contains("no python3"));
    }

    #[test]
    fn an_environment_is_kept_only_for_the_same_requirements() {
        let file = root().join("tests/fuzz/requirements.txt");
        assert!(is_same(&file, &file));
        assert!(!is_same(&file, &root().join("tests/fuzz/requirements.in")));
        assert!(!is_same(&root().join("no such file"), &root().join("no such file")));
    }
}
