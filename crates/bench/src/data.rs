//! What many rides in several databases cost, part by part.

use clap::{Args, ValueEnum};

use crate::{data_scan, main_flow::Places, report::Report, setting::Setting};

/// The options of `cargo xtask bench data`.
#[derive(Args)]
pub(crate) struct Options {
    /// Some thousand rides, to see that everything still works: figures are rough and no goal is judged
    #[arg(long)]
    quick: bool,

    /// Only this part; may be repeated
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,

    /// Rides that there are already
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    rides: u32,
}

/// A part that can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The driver index compared with all rides, alone and while passengers ride
    Scan,
}

/// Measures, prints the table, writes it as JSON. `true` when every goal is met, or was not judged.
///
/// # Errors
/// Something could not be measured.
pub(crate) async fn run(options: &Options) -> Result<bool, String> {
    let places = Places::find()?;
    let mut report = Report::new(options.quick, Setting::describe(&places.data)?);
    let wanted = |part| options.only.is_empty() || options.only.contains(&part);
    if wanted(Part::Scan) {
        let rides = if options.quick { options.rides.min(5_000) } else { options.rides };
        data_scan::run(&places, rides, options.quick, &mut report).await?;
    }
    report.print();
    report.write(&places.out.join(if options.quick { "data-quick.json" } else { "data.json" }))?;
    Ok(options.quick || report.holds())
}
