//! The gate in front of a small model of a service: some servers, one line before them, arrivals by chance. Time is a
//! number, chance is seeded: every run is the same.

mod bursts;
mod rules;

use std::{
    cmp::Reverse,
    collections::{BinaryHeap, VecDeque},
};

use prometheus::Registry;

use super::{Gate, GateConfig, Permit};
use crate::{Nanos, Priority};

const SECOND: f64 = 1e9;

/// Requests of one kind.
#[derive(Clone, Copy)]
struct Flow {
    priority: Priority,
    route: usize,
    /// Arrivals a second, on the average.
    per_s: f64,
    /// What one costs a server, on the average, in milliseconds. Half of it is certain, half is chance.
    service_ms: f64,
}

/// The service and what it is offered.
struct World {
    gate: Gate,
    servers: usize,
    flows: Vec<Flow>,
    /// Everything takes so many times longer than its flow says.
    slowness: f64,
    /// One request in so many takes twenty times longer. 0: none does.
    stall_in: u64,
    now: f64,
    /// When the gate is looked at next, whether anybody comes or not.
    tick: f64,
    chance: u64,
    arrivals: BinaryHeap<Reverse<(u64, usize)>>,
    line: VecDeque<Job>,
    busy: BinaryHeap<Reverse<Busy>>,
}

struct Job {
    permit: Permit,
    flow: Flow,
    arrived: f64,
    service: f64,
}

struct Busy {
    until: u64,
    job: Job,
}

/// What happened in some seconds.
#[derive(Default)]
struct Report {
    offered: [u64; Priority::COUNT],
    admitted: [u64; Priority::COUNT],
    /// Milliseconds from arrival to answer, of those that were answered.
    latencies: [Vec<f64>; Priority::COUNT],
    /// Seconds of work done, and seconds that there were servers for.
    worked: f64,
    able: f64,
    /// The limit every ten milliseconds.
    limits: Vec<u32>,
}

impl World {
    fn new(config: GateConfig, servers: usize, flows: &[Flow]) -> Self {
        let gate = Gate::new(config, &Registry::new()).unwrap();
        let mut world = Self {
            gate,
            servers,
            flows: Vec::new(),
            slowness: 1.0,
            stall_in: 0,
            now: 0.0,
            tick: 0.0,
            chance: 7,
            arrivals: BinaryHeap::new(),
            line: VecDeque::new(),
            busy: BinaryHeap::new(),
        };
        world.offer(flows);
        world
    }

    /// From now on, this is what comes.
    fn offer(&mut self, flows: &[Flow]) {
        self.flows = flows.to_vec();
        self.arrivals.clear();
        for index in 0..flows.len() {
            self.schedule(index);
        }
    }

    fn run(&mut self, seconds: f64) -> Report {
        let mut report = Report { able: seconds * self.servers as f64, ..Report::default() };
        let end = self.now + seconds * SECOND;
        let mut look = self.now;
        loop {
            let arrival = self.arrivals.peek().map_or(u64::MAX, |Reverse((at, _))| *at) as f64;
            let answer = self.busy.peek().map_or(u64::MAX, |Reverse(busy)| busy.until) as f64;
            // Whoever watches the process looks at the gate too.
            let next = arrival.min(answer).min(self.tick);
            while look < next.min(end) {
                report.limits.push(self.gate.state().limit);
                look += 0.01 * SECOND;
            }
            if next >= end {
                self.now = end;
                return report;
            }
            self.now = next;
            if next == self.tick {
                self.gate.tick(Nanos(self.now as u64));
                self.tick += 0.2 * SECOND;
            } else if answer <= arrival {
                self.answer(&mut report)
            } else {
                self.arrive(&mut report)
            }
            while self.busy.len() < self.servers
                && let Some(job) = self.line.pop_front()
            {
                self.busy.push(Reverse(Busy { until: (self.now + job.service) as u64, job }));
            }
        }
    }

    /// So many requests at this moment; how many were let in.
    fn burst(&mut self, requests: usize, flow: Flow) -> u64 {
        let mut report = Report::default();
        for _ in 0..requests {
            self.come(flow, &mut report);
        }
        report.admitted.iter().sum()
    }

    fn arrive(&mut self, report: &mut Report) {
        let Some(Reverse((_, index))) = self.arrivals.pop() else { return };
        self.schedule(index);
        self.come(self.flows[index], report);
    }

    fn come(&mut self, flow: Flow, report: &mut Report) {
        report.offered[flow.priority.index()] += 1;
        if let Ok(permit) = self.gate.enter(flow.priority, Nanos(self.now as u64)) {
            report.admitted[flow.priority.index()] += 1;
            let stalls = self.stall_in > 0 && report.admitted.iter().sum::<u64>() % self.stall_in == 0;
            let times = self.slowness * if stalls { 20.0 } else { 1.0 };
            let service = flow.service_ms * 1e6 * times * (0.5 + 0.5 * self.exponential());
            self.line.push_back(Job { permit, flow, arrived: self.now, service });
        }
    }

    fn answer(&mut self, report: &mut Report) {
        let Some(Reverse(Busy { job, .. })) = self.busy.pop() else { return };
        job.permit.finish(job.flow.route, Nanos(self.now as u64));
        report.worked += job.service / SECOND;
        report.latencies[job.flow.priority.index()].push((self.now - job.arrived) / 1e6);
    }

    fn schedule(&mut self, index: usize) {
        let wait = self.exponential() * SECOND / self.flows[index].per_s;
        self.arrivals.push(Reverse(((self.now + wait) as u64, index)));
    }

    /// Chance with an average of 1, as between two arrivals (Poisson).
    fn exponential(&mut self) -> f64 {
        // SplitMix64.
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut bits = self.chance;
        bits = (bits ^ (bits >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        bits = (bits ^ (bits >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        let uniform = ((bits ^ (bits >> 31)) >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - uniform).ln()
    }
}

impl Report {
    /// The part of all servers' time that was work.
    fn goodput(&self) -> f64 {
        self.worked / self.able
    }

    fn success(&self, priority: Priority) -> f64 {
        let index = priority.index();
        self.admitted[index] as f64 / self.offered[index] as f64
    }

    /// The latency in milliseconds that the part `quantile` of the answers did not exceed.
    fn latency(&self, priority: Priority, quantile: f64) -> f64 {
        let mut sorted = self.latencies[priority.index()].clone();
        sorted.sort_by(f64::total_cmp);
        sorted[(sorted.len() as f64 * quantile) as usize]
    }
}

impl PartialEq for Busy {
    fn eq(&self, other: &Self) -> bool {
        self.until == other.until
    }
}

impl Eq for Busy {}

impl PartialOrd for Busy {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Busy {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.until.cmp(&other.until)
    }
}
