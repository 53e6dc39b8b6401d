//! Repeatable dice: the same seed and the same question give the same answer, on every machine, after every restart.

/// What is asked of the dice; keeps the answers to different questions about one ride independent.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Question {
    /// How long a driver thinks about an offer.
    Thinking = 1,
    /// Whether the driver takes it.
    Taking,
    /// Which driver is asked.
    Driver,
    /// How far that driver is.
    PickupEta,
    /// How long the passenger takes to get in.
    Boarding,
    /// Where the driver comes from.
    Bearing,
    /// Who drives.
    Name,
    /// How well.
    Rating,
    /// Under which number.
    Contact,
    /// In what car.
    Vehicle,
}

/// 64 evenly spread bits for `question` about `subject`.
pub(crate) fn roll(seed: u64, question: Question, subject: &[i64]) -> u64 {
    let start = splitmix64(seed ^ splitmix64(question as u64));
    subject.iter().fold(start, |hash, part| splitmix64(hash ^ part.cast_unsigned()))
}

/// The same as a number in 0…1, 1 excluded.
pub(crate) fn share(seed: u64, question: Question, subject: &[i64]) -> f64 {
    // The upper 53 bits: what an f64 holds exactly.
    (roll(seed, question, subject) >> 11) as f64 / (1_u64 << 53) as f64
}

/// The same as an index below `len`, 0 for an empty range. The bias of the remainder is below 2^-40 here.
pub(crate) fn below(len: usize, seed: u64, question: Question, subject: &[i64]) -> usize {
    (roll(seed, question, subject) % (len as u64).max(1)) as usize
}

/// The output step of SplitMix64 (Steele, Lea, Flood, "Fast splittable pseudorandom number generators", 2014, with
/// Vigna's constants). Not fit for secrets, which the sandbox has none of.
fn splitmix64(state: u64) -> u64 {
    let z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn splitmix64_gives_the_published_sequence() {
        // First outputs for seed 1234567, as listed by Rosetta Code and Vigna's reference code.
        let outputs: Vec<u64> = (0..3)
            .map(|i: u64| splitmix64(1_234_567_u64.wrapping_add(i.wrapping_mul(0x9e37_79b9_7f4a_7c15))))
            .collect();
        assert_eq!(outputs, [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423]);
    }

    #[test]
    fn shares_are_spread_over_the_whole_range() {
        let mut tenths = [0_u32; 10];
        for subject in 0..10_000 {
            tenths[(share(1, Question::Taking, &[subject]) * 10.0) as usize] += 1;
        }
        assert!(tenths.iter().all(|count| (850..1150).contains(count)), "{tenths:?}");
    }

    #[test]
    fn seed_question_and_subject_each_change_the_answer() {
        let answer = roll(1, Question::Taking, &[1, 2]);
        assert_eq!(answer, roll(1, Question::Taking, &[1, 2]));
        assert_ne!(answer, roll(2, Question::Taking, &[1, 2]));
        assert_ne!(answer, roll(1, Question::Driver, &[1, 2]));
        assert_ne!(answer, roll(1, Question::Taking, &[2, 1]));
    }
}
