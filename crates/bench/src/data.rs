//! What many rides in several databases cost, part by part.

use clap::{Args, ValueEnum};

use crate::{
    data_accept, data_drain, data_move, data_rides, data_scan, main_flow::Places, report::Report, setting::Setting,
};

/// The options of `cargo xtask bench data`.
#[derive(Args)]
pub(crate) struct Options {
    /// Three minutes with little of everything, to see that it still works: figures are rough and no goal is judged
    #[arg(long)]
    quick: bool,

    /// Only this part; may be repeated
    #[arg(long, value_name = "PART")]
    only: Vec<Part>,

    /// Rides that `scan` and `move` find there already
    #[arg(long, default_value_t = 1_000_000, value_parser = clap::value_parser!(u32).range(1_000..=20_000_000))]
    rides: u32,
}

/// A part that can be measured alone.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Part {
    /// The driver index compared with all rides, alone and while passengers ride
    Scan,
    /// How long a driver waits who accepts a ride: the strategies between two databases against one local transaction
    Accept,
    /// Throughput of `POST /v1/rides` on PostgreSQL against pgbench with the same statements
    Rides,
    /// How fast a gateway catches up with an outbox
    Drain,
    /// A shard moved between two databases while its passenger rides
    Move,
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
    if wanted(Part::Accept) {
        data_accept::run(&places, options.quick, &mut report).await?;
    }
    if wanted(Part::Rides) {
        data_rides::run(&places, options.quick, &mut report).await?;
    }
    if wanted(Part::Drain) {
        data_drain::run(&places, options.quick, &mut report).await?;
    }
    if wanted(Part::Move) {
        let rides = if options.quick { options.rides.min(5_000) } else { options.rides };
        data_move::run(&places, rides, options.quick, &mut report).await?;
    }
    report.print();
    report.write(&places.out.join(if options.quick { "data-quick.json" } else { "data.json" }))?;
    Ok(options.quick || report.holds())
}
