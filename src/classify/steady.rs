//! What becomes of a conversation's lane: up at once, down only after calm turns, and never in the middle of a tool loop.
//!
//! Must not know texts, models or prices, nor how a conversation is known again: it sees what is remembered of it, and
//! what this turn would choose by itself.

use super::features::Features;

/// What is remembered of a conversation's lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    /// Where it is: 0 fast, 1 standard, 2 reasoning.
    pub lane: usize,
    /// Turns in a row, up to the last, that would have chosen a cheaper lane.
    pub calm: u32,
    /// The dearest lane that one of those would have chosen.
    pub wanted: usize,
}

/// What this turn would choose by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Turn {
    /// The lane.
    pub lane: usize,
    /// Whether it must be that: a rule names it, or a key is bound to it.
    pub is_certain: bool,
    /// Whether the result of a tool is what it answers to.
    pub in_tool_loop: bool,
}

impl Turn {
    /// A turn by its own choice and its features.
    pub fn new(lane: usize, is_certain: bool, features: &Features) -> Self {
        Self { lane, is_certain, in_tool_loop: features.in_tool_loop }
    }
}

/// Why a turn does not get the lane that it would choose by itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// A tool loop ends in the lane that it began in.
    ToolLoop,
    /// It has not been calm for long enough.
    Calm,
    /// What the prompt cache saves is more than what the cheaper lane would.
    Cache,
}

impl Held {
    /// For headers and labels.
    pub fn reason(self) -> &'static str {
        match self {
            Self::ToolLoop => "session:tool-loop",
            Self::Calm => "session:calm",
            Self::Cache => "session:cache",
        }
    }
}

/// The lane of a turn, and what is to be remembered once it is answered. `calm_turns` in a row must want a cheaper lane
/// before it is given, this one counted. `is_cache_dearer` says of a cheaper lane whether leaving would cost more than it
/// saves; it is asked only where the rest allows to leave.
pub fn step(
    before: Option<Ladder>,
    turn: Turn,
    calm_turns: u32,
    is_cache_dearer: impl FnOnce(usize) -> bool,
) -> (Ladder, Option<Held>) {
    let at = |lane| Ladder { lane, calm: 0, wanted: 0 };
    let Some(before) = before else { return (at(turn.lane), None) };
    if turn.is_certain || turn.lane >= before.lane {
        return (at(turn.lane), None);
    }
    if turn.in_tool_loop {
        return (before, Some(Held::ToolLoop));
    }
    let calm = before.calm.saturating_add(1);
    let wanted = if before.calm == 0 { turn.lane } else { turn.lane.max(before.wanted) };
    let stays = Ladder { lane: before.lane, calm, wanted };
    if calm < calm_turns {
        return (stays, Some(Held::Calm));
    }
    if is_cache_dearer(wanted) {
        return (stays, Some(Held::Cache));
    }
    (at(wanted), (wanted != turn.lane).then_some(Held::Calm))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const CALM_TURNS: u32 = 2;

    fn turn(lane: usize) -> Turn {
        Turn { lane, is_certain: false, in_tool_loop: false }
    }

    fn in_loop(lane: usize) -> Turn {
        Turn { in_tool_loop: true, ..turn(lane) }
    }

    fn certain(lane: usize) -> Turn {
        Turn { is_certain: true, ..turn(lane) }
    }

    /// The lanes of a conversation's turns.
    fn lanes(turns: &[Turn], is_cache_dearer: bool) -> Vec<usize> {
        let mut before = None;
        let mut answer = |turn: &Turn| {
            let (after, held) = step(before, *turn, CALM_TURNS, |_| is_cache_dearer);
            assert_eq!(held.is_none(), after.lane == turn.lane, "{turn:?}");
            before = Some(after);
            after.lane
        };
        turns.iter().map(&mut answer).collect()
    }

    #[test]
    fn a_conversation_moves_up_at_once_and_down_when_it_is_calm() {
        for (what, turns, expected) in [
            ("alone", vec![turn(1)], vec![1]),
            ("up at once", vec![turn(0), turn(2)], vec![0, 2]),
            ("down at the second calm turn", vec![turn(2), turn(0), turn(0), turn(0)], vec![2, 2, 0, 0]),
            ("only in a row", vec![turn(2), turn(0), turn(2), turn(0), turn(2)], vec![2, 2, 2, 2, 2]),
            ("to the dearest that was wanted", vec![turn(2), turn(1), turn(0), turn(0), turn(0)], vec![2, 2, 1, 1, 0]),
            ("and no older wish", vec![turn(2), turn(1), turn(2), turn(0), turn(0)], vec![2, 2, 2, 2, 0]),
            ("not in a tool loop", vec![turn(2), in_loop(0), in_loop(0), in_loop(1)], vec![2, 2, 2, 2]),
            ("a loop is no calm turn", vec![turn(2), turn(0), in_loop(0), turn(0)], vec![2, 2, 2, 0]),
            ("up in a tool loop too", vec![turn(1), in_loop(2)], vec![1, 2]),
            ("what is certain holds", vec![turn(2), certain(0), turn(0)], vec![2, 0, 0]),
            ("also in a tool loop", vec![turn(2), Turn { is_certain: true, ..in_loop(1) }, turn(1)], vec![2, 1, 1]),
        ] {
            assert_eq!(lanes(&turns, false), expected, "{what}");
        }
    }

    #[test]
    fn a_cache_that_is_worth_more_keeps_a_conversation_where_it_is() {
        assert_eq!(lanes(&[turn(2), turn(0), turn(0), turn(0)], true), [2, 2, 2, 2]);
        assert_eq!(lanes(&[turn(1), turn(2), certain(0)], true), [1, 2, 0], "up, and what is certain");
        let before = Ladder { lane: 2, calm: 7, wanted: 1 };
        let (after, held) = step(Some(before), turn(0), CALM_TURNS, |to| to == 1);
        assert_eq!((after.lane, held), (2, Some(Held::Cache)), "the lane that would be gone to is asked about");
        assert_eq!(step(Some(after), turn(0), CALM_TURNS, |_| false).0.lane, 1, "and left once it is not");
    }

    #[test]
    fn no_calm_is_waited_for_where_none_is_wanted() {
        for calm_turns in [0, 1] {
            assert_eq!(step(Some(Ladder { lane: 2, calm: 0, wanted: 0 }), turn(0), calm_turns, |_| false).0.lane, 0);
        }
    }

    fn any_turn() -> impl Strategy<Value = Turn> {
        (0_usize..3, prop::bool::weighted(0.1), any::<bool>()).prop_map(|(lane, is_certain, in_tool_loop)| Turn {
            lane,
            is_certain,
            in_tool_loop,
        })
    }

    proptest! {
        #[test]
        fn never_down_in_a_tool_loop_and_never_to_and_fro(
            turns in prop::collection::vec(any_turn(), 1..60),
            calm_turns in 1_u32..5,
            dear in prop::collection::vec(any::<bool>(), 60),
        ) {
            let mut before: Option<Ladder> = None;
            let mut calm_in_a_row = 0;
            for (turn, is_dear) in turns.iter().zip(dear) {
                let (after, _) = step(before, *turn, calm_turns, |_| is_dear);
                prop_assert!(after.lane >= turn.lane || turn.is_certain, "no turn gets less than it would choose");
                if let Some(before) = before {
                    let wants_less = turn.lane < before.lane && !turn.is_certain;
                    if wants_less && !turn.in_tool_loop {
                        calm_in_a_row += 1;
                    } else if !wants_less {
                        calm_in_a_row = 0;
                    }
                    if !turn.is_certain && after.lane < before.lane {
                        prop_assert!(!turn.in_tool_loop && !is_dear);
                        prop_assert!(calm_in_a_row >= calm_turns, "down after {calm_in_a_row} calm turns");
                        calm_in_a_row = 0;
                    }
                    prop_assert!(after.lane <= before.lane.max(turn.lane), "up only where a turn asks for it");
                }
                before = Some(after);
            }
        }
    }
}
