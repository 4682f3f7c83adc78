//! Redis is stopped or killed and starts again, perhaps without the end of its file; then the reconciler puts back what the
//! database has promised.

use std::time::{Duration, Instant};

use queue::{QueueName, Token};
use redis::AsyncCommands;

use crate::model::{CANCELS, Place, QUEUES, Run, Seen};
use crate::step::Fate;
use crate::view::{Spot, View};
use crate::world::{Holds, World, ensure, tell};

impl World<'_> {
    pub(crate) async fn restart(&mut self, fate: Fate) -> Holds {
        self.counts.restarts += 1;
        let server = &mut self.site.server;
        match fate {
            Fate::Shutdown => server.stop(),
            Fate::Kill => server.kill(),
            Fate::Lose { bytes } => {
                self.counts.losses += 1;
                server.kill_and_lose(bytes);
            }
        }
        server.start_again();
        self.site.connect_again().await?;
        tell!(self, "Redis ends ({fate:?}) and starts again");
        if let Fate::Lose { .. } = fate {
            self.lossy = true;
            self.outdated = [true; 2];
            self.rewrite_file().await?;
            self.learn().await?;
            self.reconcile().await?;
        }
        self.check(true).await
    }

    /// A script is written between MULTI and EXEC. Where the file ends within one, Redis (seen with 7.0.15) rightly leaves the
    /// whole script out, but keeps its first commands in the file; if it is restarted once more before the file is written anew,
    /// they come to life with the next script: half a transition. So, as should be done after a power cut, the file is written anew.
    async fn rewrite_file(&mut self) -> Holds {
        let redis = &mut self.site.redis;
        redis::cmd("BGREWRITEAOF").exec_async(redis).await?;
        let deadline = Instant::now() + Duration::from_secs(20);
        loop {
            let info: redis::InfoDict = redis::cmd("INFO")
                .arg("persistence")
                .query_async(redis)
                .await?;
            let busy = ["aof_rewrite_in_progress", "aof_rewrite_scheduled"]
                .into_iter()
                .any(|field| info.get::<u8>(field) != Some(0));
            if !busy {
                return Ok(());
            }
            ensure!(
                Instant::now() < deadline,
                "error",
                "Redis does not rewrite its file"
            );
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }

    /// What Redis says now is where the model goes on: nothing can be expected of what was lost.
    async fn learn(&mut self) -> Holds {
        let text = self.look_at_all().await?;
        self.read_back(&text);
        let redis = &mut self.site.redis;
        let model = &mut self.model;
        model.flags = redis.smembers("task:drain").await?;
        model.held_back = redis.exists("task:paused").await?;
        model.epoch = redis
            .get::<_, Option<u64>>("task:epoch")
            .await?
            .unwrap_or(0);
        model.last_reap = redis
            .get::<_, Option<u64>>("task:reap:last")
            .await?
            .unwrap_or(0);
        model.tickets.clear();
        for (n, queue) in QUEUES.iter().enumerate() {
            let key = match *queue == QueueName::default().as_str() {
                true => "task:alone:next".to_owned(),
                false => format!("task:alone:next:{queue}"),
            };
            if let Some(owner) = redis.get::<_, Option<String>>(key).await? {
                model.tickets.insert(n, owner);
            }
        }
        let mut keys = std::collections::BTreeMap::new();
        for n in 0..4 {
            let key = format!("key{n}");
            let owner: Option<String> = redis.get(format!("idem:{key}")).await?;
            if let Some(owner) = owner.and_then(|id| id.strip_prefix('t')?.parse().ok()) {
                keys.insert(key, owner);
            }
        }
        model.keys = keys;
        let workers: Vec<String> = model.seen.drain().map(|(name, _)| name).collect();
        for name in workers {
            let fields = ["claim_id", "claim_token", "alone_token", "pod_uid"];
            let found: Vec<Option<String>> = redis::cmd("HMGET")
                .arg(format!("worker:{name}"))
                .arg(&fields)
                .query_async(redis)
                .await?;
            let word = |n: usize| found.get(n).cloned().flatten();
            let claim = || {
                let n = word(0)?.strip_prefix('t')?.parse().ok()?;
                Some((n, Token::new(word(1)?)))
            };
            // A token ends with the nonce of its claim.
            let nonce = word(1).and_then(|token| Some(token.split_once('-')?.1.to_owned()));
            let seen = Seen {
                nonce: nonce.unwrap_or_default(),
                claim: claim(),
                alone: claim().filter(|_| word(1) == word(2)),
                pod: word(3),
            };
            model.seen.insert(name, seen);
        }
        Ok(())
    }

    /// As the API's: every row without a final record of its life has a task of that life.
    pub(crate) async fn reconcile(&mut self) -> Holds {
        let text = self.look(&[]).await?;
        let outbox = View::of(&text).outbox;
        for n in 0..self.model.tasks.len() {
            let task = &self.model.tasks[n];
            let Some(row_life) = task.row_life else {
                continue;
            };
            let recorded = self.database.contains_key(&(n, row_life));
            if recorded {
                continue;
            }
            let ended = task.place == Place::Final && task.life == row_life;
            let on_its_way =
                |(_, id, life): &(u64, &str, u64)| *id == task.name && *life == row_life;
            if ended && !outbox.iter().any(on_its_way) {
                // A subscriber acknowledged what it had read before the loss, and the number had come again meanwhile:
                // the row gets its outcome from the hash.
                tell!(self, "the row of {} is finished from its hash", task.name);
                self.database.entry((n, row_life)).or_default().insert(0);
            } else if task.place == Place::Gone {
                self.enqueue(n, row_life, 0, 0, None).await?;
            } else if task.life < row_life {
                match task.place {
                    Place::Final if task.completed => {
                        self.forget(n).await?;
                        self.enqueue(n, row_life, 0, 0, None).await?;
                    }
                    Place::Final => self.replay(n, row_life).await?,
                    _ => {
                        let word = CANCELS.iter().position(|kind| *kind == "cancelled");
                        self.cancel(n, word.unwrap_or(0)).await?;
                    }
                }
            }
        }
        Ok(())
    }

    /// After a loss: what Redis says now is where the model goes on.
    fn read_back(&mut self, text: &str) {
        let view = View::of(text);
        for (n, hash) in view.hashes.iter().enumerate() {
            let task = &mut self.model.tasks[n];
            let word = |field: &str| hash.get(field).map(|value| (*value).to_owned());
            let count = |field: &str| word(field).and_then(|n| n.parse().ok()).unwrap_or(0_u64);
            let token = |field: &str| word(field).map(Token::new);
            let name = task.name.clone();
            let spot = view.spots(&name).first().copied();
            let lease = view.leases.get(name.as_str()).copied();
            task.turn = 0;
            task.life = count("life").max(1);
            task.attempt = count("attempt") as u32;
            task.retries = count("retries") as u32;
            task.crashes = count("crashes") as u32;
            task.solo_crashes = count("solo_crashes") as u32;
            task.releases = count("releases") as u32;
            task.parked = word("parked").is_some();
            task.cancel = CANCELS
                .into_iter()
                .find(|kind| hash.get("cancel") == Some(kind));
            task.token = token("token");
            task.last_failed = token("last_failed_token");
            task.last_released = token("last_released_token");
            task.kind = word("error_kind").unwrap_or_default();
            task.finished_at = count("finished_at");
            task.key = word("idem").map(|key| key.trim_start_matches("idem:").to_owned());
            task.completed = false;
            task.place = match hash.get("status").copied() {
                None => Place::Gone,
                Some("processing") => {
                    let alone = word("alone").as_deref() == Some("1");
                    Place::Running(Run {
                        worker: word("worker_id").unwrap_or_default(),
                        alone,
                        solo: alone || word("worker_slots").is_none_or(|slots| slots == "1"),
                        hard_until: count("hard_until"),
                        lease: lease.unwrap_or(0),
                    })
                }
                Some("pending") if self.faults.copies => Place::Waiting,
                Some("pending") => match spot {
                    Some(Spot::Delayed(due)) => Place::Delayed(due),
                    Some(Spot::Parked) => Place::Parked,
                    Some(Spot::Processing) => Place::Stray(lease),
                    _ => Place::Ready,
                },
                Some(status) => {
                    task.completed = status == "completed";
                    Place::Final
                }
            };
        }
        let dead: Vec<usize> = view
            .dead
            .iter()
            .rev()
            .filter_map(|id| self.task_of(id))
            .collect();
        self.model.dead = dead;
    }
}
