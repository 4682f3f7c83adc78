//! The model as stateright takes it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stateright::{Model, Property};

use crate::canonical::canonical;
use crate::possible::possible;
use crate::property;
use crate::redis::Redis;
use crate::size::{MOST_TASKS, MOST_WORKERS, Rules};
use crate::state::{Row, RowState, State, Worker};
use crate::step::{Action, World};

/// A size, with or without one planted defect.
#[derive(Clone, Debug)]
pub struct QueueModel {
    pub rules: Rules,
    /// How often it was asked for a state's ways on: a search asks once for each state that it visits.
    pub visited: Arc<AtomicUsize>,
}

impl Model for QueueModel {
    type State = State;
    type Action = Action;

    /// Rows that promise a task, and an empty Redis.
    fn init_states(&self) -> Vec<State> {
        let size = &self.rules.size;
        assert!(
            size.tasks <= MOST_TASKS && size.workers <= MOST_WORKERS,
            "too large: {size:?}"
        );
        let row = Row {
            state: RowState::Queued,
            life: 1,
            number: 0,
            result: None,
            outcome_life: 0,
            outcomes: 0,
        };
        vec![State {
            redis: Redis::default(),
            replica: None,
            rows: [row; MOST_TASKS],
            files: Vec::new(),
            workers: [const {
                Worker {
                    asking: None,
                    held: Vec::new(),
                }
            }; MOST_WORKERS],
            reader: None,
            late: None,
            faults: size.faults,
            acts: size.acts,
            clock: 0,
            lost_data: false,
            broken: crate::state::Broken::default(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        self.visited.fetch_add(1, Ordering::Relaxed);
        possible(&self.rules, state, actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut state = last.clone();
        let rules = &self.rules;
        World {
            state: &mut state,
            rules,
        }
        .take(action);
        canonical(rules, &mut state);
        (state != *last).then_some(state)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        property::all()
    }
}
