//! What the gateway does when its machine fails it: no room, no right to write, files that are not what they should
//! be, settings that make no sense. One clear line each, and nothing damaged.

mod disk_full;
mod files;
mod server_lost;
mod values;

/// A start that was refused: it ended by itself, nothing looks like a crash, and one line says why with these words.
#[track_caller]
pub(crate) fn refused(ended: (i32, String), words: &[&str]) {
    let (code, output) = ended;
    assert_eq!(code, 1, "{output}");
    for crash in ["panicked", "backtrace", "core dumped"] {
        assert!(!output.contains(crash), "{output}");
    }
    let told: Vec<&str> = output.lines().filter(|line| line.starts_with("passenger-gateway: ")).collect();
    assert_eq!(told.len(), 1, "the end is explained once:\n{output}");
    assert!(words.iter().all(|word| told[0].contains(word)), "no line says {words:?}:\n{output}");
    assert!(output.trim_end().ends_with(told[0]), "the explanation is the last word:\n{output}");
}

/// Settings that were refused: after one line that counts them, one line each with these words, and nothing more.
#[track_caller]
fn misconfigured(ended: &(i32, String), problems: &[&[&str]]) {
    let (code, output) = ended;
    assert_eq!(*code, 1, "{output}");
    let head = format!("passenger-gateway: the configuration has {} problem(s):", problems.len());
    let lines: Vec<&str> = output.lines().skip_while(|line| **line != head).collect();
    assert_eq!(lines.len(), problems.len() + 1, "{output}");
    for words in problems {
        let says = |line: &&&str| words.iter().all(|word| line.contains(word));
        assert_eq!(lines.iter().filter(says).count(), 1, "one line says {words:?}:\n{output}");
    }
}
