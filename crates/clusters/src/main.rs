//! `clusters [COUNT] [--durable]`: starts private PostgreSQL servers, prints the DSN of each on a line (and on the
//! other output the folder of its data and its log), and removes them when its input ends (Ctrl-D) or when it is ended
//! itself.
#![allow(clippy::print_stdout, reason = "it is a program of the command line")]

use std::{io::Read as _, process::ExitCode};

use clusters::{Binaries, Cluster, Error, Options};

fn main() -> ExitCode {
    let Some((count, options)) = options(std::env::args().skip(1)) else {
        eprintln!("usage: clusters [COUNT] [--durable]\nCOUNT is from 1 to 16, and 1 if not said.");
        return ExitCode::from(2);
    };
    match serve(count, &options) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("clusters: {error}");
            ExitCode::FAILURE
        }
    }
}

fn serve(count: usize, options: &Options) -> Result<(), Error> {
    let clusters = Cluster::start_many(count, &Binaries::find()?, options)?;
    for cluster in &clusters {
        println!("{}", cluster.server().dsn());
        eprintln!("{}", cluster.folder().display());
    }
    // Nothing of what is written to us matters, only its end.
    let _ = std::io::stdin().read_to_end(&mut Vec::new());
    Ok(())
}

fn options(arguments: impl Iterator<Item = String>) -> Option<(usize, Options)> {
    let (mut count, mut options) = (1, Options::default());
    for argument in arguments {
        match argument.as_str() {
            "--durable" => options.durable = true,
            number => count = number.parse().ok().filter(|count| (1..=16).contains(count))?,
        }
    }
    Some((count, options))
}
