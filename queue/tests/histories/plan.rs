//! A history as a value: drawn from a seed, and made smaller while it still fails: first what follows the failing step, then
//! runs of steps, then the numbers in the steps; and again, while that takes anything off: with smaller numbers a step may be
//! one that nothing needs.

use std::cell::Cell;
use std::rc::Rc;

use proptest::prelude::*;
use proptest::strategy::{NewTree, ValueTree};
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

use crate::step::{Faults, Step, step};

#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) faults: Faults,
    pub(crate) steps: Vec<Step>,
}

/// All histories of `steps` steps.
#[derive(Debug)]
pub(crate) struct Plans {
    steps: usize,
    kinds: Vec<(u32, Faults, BoxedStrategy<Step>)>,
}

impl Plans {
    pub(crate) fn new(steps: usize) -> Self {
        let kinds = [(7, false, false), (2, true, false), (1, false, true)]
            .into_iter()
            .map(|(weight, copies, restarts)| {
                let faults = Faults { copies, restarts };
                (weight, faults, step(faults))
            })
            .collect();
        Self { steps, kinds }
    }

    /// The history of a seed, always the same.
    pub(crate) fn of(&self, seed: u64) -> PlanTree {
        let mut bytes = [0_u8; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &bytes);
        let config = Config {
            failure_persistence: None,
            ..Config::default()
        };
        let mut runner = TestRunner::new_with_rng(config, rng);
        match self.new_tree(&mut runner) {
            Ok(tree) => tree,
            Err(reason) => panic!("no history for seed {seed}: {reason}"),
        }
    }
}

impl Strategy for Plans {
    type Tree = PlanTree;
    type Value = Plan;

    fn new_tree(&self, runner: &mut TestRunner) -> NewTree<Self> {
        let all: u32 = self.kinds.iter().map(|(weight, ..)| weight).sum();
        let mut pick = runner.rng().random_range(0..all);
        let mut kinds = self.kinds.iter();
        let (faults, steps) = loop {
            match kinds.next() {
                Some((weight, ..)) if pick >= *weight => pick -= weight,
                Some((_, faults, steps)) => break (*faults, steps),
                None => return Err("no kind of history has a weight".into()),
            }
        };
        let trees: Vec<_> = (0..self.steps)
            .map(|_| steps.new_tree(runner))
            .collect::<Result<_, _>>()?;
        Ok(PlanTree {
            faults,
            kept: vec![true; trees.len()],
            trees,
            failed_at: Rc::new(Cell::new(usize::MAX)),
            stage: Stage::Cut,
            undo: vec![],
            tried: false,
            smaller: false,
        })
    }
}

enum Stage {
    Cut,
    /// Runs of so many kept steps; the next begins here (counted in kept steps).
    Drop {
        run: usize,
        at: usize,
    },
    Simplify {
        at: usize,
    },
}

pub(crate) struct PlanTree {
    faults: Faults,
    trees: Vec<Box<dyn ValueTree<Value = Step>>>,
    kept: Vec<bool>,
    /// Set by whoever runs the plan: the last step that was taken.
    pub(crate) failed_at: Rc<Cell<usize>>,
    stage: Stage,
    /// Steps that the last simplification took out.
    undo: Vec<usize>,
    /// A simplification is out, and not taken back: if the next call is another, the history fails without it.
    tried: bool,
    /// Something was taken off since single steps were last taken out.
    smaller: bool,
}

impl PlanTree {
    fn kept(&self) -> Vec<usize> {
        (0..self.kept.len()).filter(|n| self.kept[*n]).collect()
    }

    fn take_out(&mut self, which: Vec<usize>) {
        for n in &which {
            self.kept[*n] = false;
        }
        self.undo = which;
    }
}

impl ValueTree for PlanTree {
    type Value = Plan;

    fn current(&self) -> Plan {
        let steps = self.kept().into_iter().map(|n| self.trees[n].current());
        Plan {
            faults: self.faults,
            steps: steps.collect(),
        }
    }

    fn simplify(&mut self) -> bool {
        self.undo.clear();
        self.smaller |= std::mem::take(&mut self.tried);
        loop {
            let kept = self.kept();
            match self.stage {
                Stage::Cut => {
                    let run = kept.len().div_ceil(2);
                    self.stage = Stage::Drop { run, at: 0 };
                    let tail = kept.get(self.failed_at.get().saturating_add(1)..);
                    if let Some([_, ..]) = tail {
                        self.take_out(tail.unwrap_or_default().to_vec());
                        self.tried = true;
                        return true;
                    }
                }
                Stage::Drop { run: 0, .. } => self.stage = Stage::Simplify { at: 0 },
                Stage::Drop { run, at } if at >= kept.len() => {
                    // Whatever is left of a run that was halved: once more from the beginning.
                    let run = if run == 1 {
                        0
                    } else {
                        run.min(kept.len()).div_ceil(2)
                    };
                    self.stage = Stage::Drop { run, at: 0 };
                }
                Stage::Drop { run, at } => {
                    // If it still fails without them, the next run begins at the same place.
                    self.take_out(kept[at..(at + run).min(kept.len())].to_vec());
                    self.tried = true;
                    return true;
                }
                Stage::Simplify { at } => {
                    let Some(n) = kept.get(at) else {
                        if !std::mem::take(&mut self.smaller) {
                            return false;
                        }
                        self.stage = Stage::Drop { run: 1, at: 0 };
                        continue;
                    };
                    if self.trees[*n].simplify() {
                        self.tried = true;
                        return true;
                    }
                    self.stage = Stage::Simplify { at: at + 1 };
                }
            }
        }
    }

    /// The last simplification went too far: takes it back, and goes on with the next.
    fn complicate(&mut self) -> bool {
        self.tried = false;
        for n in std::mem::take(&mut self.undo) {
            self.kept[n] = true;
        }
        match self.stage {
            Stage::Drop { run, at } => self.stage = Stage::Drop { run, at: at + run },
            Stage::Simplify { at } => {
                let n = self.kept()[at];
                if self.trees[n].complicate() {
                    self.tried = true;
                    return true;
                }
                self.stage = Stage::Simplify { at: at + 1 };
            }
            Stage::Cut => {}
        }
        self.simplify()
    }
}
