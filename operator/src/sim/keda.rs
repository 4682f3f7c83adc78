//! KEDA on a Redis list and the HorizontalPodAutoscaler behind it, at their defaults: a look every 30 s between zero and
//! one, every 15 s above; five waiting tasks a worker; tolerance of a tenth; up by at most the double or four in 15 s; down
//! to the highest wish of 300 s; to zero 300 s after the list was last seen with anything in it. Running tasks are not on the list.

use std::collections::VecDeque;

use super::{Scaler, World};

const POLL_MS: i64 = 30_000;
const SYNC_MS: i64 = 15_000;
const LIST_LENGTH: i32 = 5;
const WINDOW_MS: i64 = 300_000;
const COOLDOWN_MS: i64 = 300_000;

#[derive(Debug, Default)]
pub struct Keda {
    active_ms: i64,
    wishes: VecDeque<(i64, i32)>,
}

impl Scaler for Keda {
    fn act(&mut self, world: &mut World) {
        if world.now_ms % POLL_MS == 0 {
            self.poll(world);
        }
        if world.now_ms % SYNC_MS == 0 && world.replicas > 0 {
            self.sync(world);
        }
    }

    fn notices_death_after_ms(&self) -> i64 {
        15_000
    }
}

impl Keda {
    fn poll(&mut self, world: &mut World) {
        if !world.queue.is_empty() {
            self.active_ms = world.now_ms;
            world.replicas = world.replicas.max(1);
        } else if world.now_ms - self.active_ms >= COOLDOWN_MS && world.replicas > 0 {
            world.replicas = 0;
            self.wishes.clear();
        }
    }

    fn sync(&mut self, world: &mut World) {
        let depth = world.queue.len() as i32;
        let have = world.replicas;
        let ratio = f64::from(depth) / f64::from(LIST_LENGTH * have);
        let wish = if (ratio - 1.0).abs() <= 0.1 {
            have
        } else {
            (depth + LIST_LENGTH - 1) / LIST_LENGTH
        };
        let wish = wish.clamp(1, world.max_replicas);
        self.wishes.push_back((world.now_ms, wish));
        while self
            .wishes
            .front()
            .is_some_and(|(when_ms, _)| world.now_ms - when_ms > WINDOW_MS)
        {
            self.wishes.pop_front();
        }
        let most = self
            .wishes
            .iter()
            .map(|(_, wish)| *wish)
            .max()
            .unwrap_or(wish);
        world.replicas = if wish > have {
            wish.min((have * 2).max(have + 4))
        } else {
            most.min(have)
        };
    }
}
