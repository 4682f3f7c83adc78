//! Everything of one run together: the processes, the watchers, and the user's side. It starts and ends a system; it breaks
//! nothing.

use std::cell::{Cell, RefCell};
use std::rc::Rc;
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::task::JoinHandle;

use crate::client::Client;
use crate::ledger::Ledger;
use crate::melody::Recording;
use crate::processes::api::{self, Api};
use crate::processes::postgres::Postgres;
use crate::processes::redis::Redis;
use crate::processes::workers::{self, Workers};
use crate::processes::{Place, until};
use crate::watch::{self, Shared};

const TEND: Duration = Duration::from_millis(100);

#[derive(Clone, Copy, Debug)]
pub(crate) struct Size {
    pub(crate) bare: usize,
    pub(crate) supervised: usize,
    pub(crate) slots: u32,
    pub(crate) max_crashes: u32,
    pub(crate) has_postgres: bool,
}

pub(crate) struct Rig {
    pub(crate) place: Place,
    pub(crate) ledger: Shared,
    /// Held by whoever takes a server away, so that no second blow falls meanwhile: what it hit could not be read.
    pub(crate) redis: Mutex<Redis>,
    pub(crate) redis_port: u16,
    pub(crate) api: Mutex<Api>,
    pub(crate) postgres: Option<Mutex<Postgres>>,
    pub(crate) workers: RefCell<Workers>,
    pub(crate) client: Client,
    /// Task ids that were accepted, each with the number of its recording.
    pub(crate) tasks: RefCell<Vec<(String, usize)>>,
    pub(crate) slots: u32,
    watchers: RefCell<Vec<JoinHandle<()>>>,
    /// The API is down because we took it down.
    pub(crate) api_is_ours: Cell<bool>,
}

impl Rig {
    pub(crate) async fn start(place: Place, size: Size) -> anyhow::Result<Rc<Self>> {
        fs_err::create_dir_all(&place.folder)?;
        let postgres = match size.has_postgres {
            true => Some(Postgres::start(&place).await?),
            false => None,
        };
        let redis = Redis::start(&place).await?;
        let settings = api::Settings {
            redis_url: redis.url(),
            database_url: postgres.as_ref().map(Postgres::url),
            max_crashes: size.max_crashes,
        };
        let api = Api::start(&place, settings).await?;
        let settings = workers::Settings {
            redis_url: redis.url(),
            api_url: api.url(),
            bare: size.bare,
            supervised: size.supervised,
            slots: size.slots,
            max_crashes: size.max_crashes,
        };
        let rig = Rc::new(Rig {
            ledger: Rc::new(RefCell::new(Ledger::default())),
            redis_port: redis.port,
            redis: Mutex::new(redis),
            client: Client::new(api.url())?,
            api: Mutex::new(api),
            postgres: postgres.map(Mutex::new),
            workers: RefCell::new(Workers::start(&place, settings)?),
            tasks: RefCell::default(),
            watchers: RefCell::default(),
            api_is_ours: Cell::new(false),
            slots: size.slots,
            place,
        });
        let port = rig.redis_port;
        rig.watchers.borrow_mut().extend([
            tokio::task::spawn_local(watch::listen(port, Rc::clone(&rig.ledger))),
            tokio::task::spawn_local(watch::roll_call(port, Rc::clone(&rig.ledger))),
            tokio::task::spawn_local(tend(Rc::clone(&rig))),
        ]);
        let all = size.bare + size.supervised;
        until("all workers are ready", async || {
            rig.ledger.borrow().lives.len() >= all
        })
        .await?;
        Ok(rig)
    }

    /// Uploads `count` recordings at once; returns when each was accepted or given up.
    pub(crate) async fn upload(
        &self,
        recordings: &[Recording],
        count: usize,
    ) -> Vec<anyhow::Error> {
        let uploads = (0..count).map(|number| async move {
            let recording = number % recordings.len();
            let uploaded = self.client.upload(&recordings[recording]).await?;
            self.ledger.borrow_mut().upload_tries += uploaded.tries;
            self.tasks.borrow_mut().push((uploaded.id, recording));
            anyhow::Ok(())
        });
        let outcomes = futures::future::join_all(uploads).await;
        outcomes.into_iter().filter_map(Result::err).collect()
    }

    /// Notes down how each task ended, and what is left.
    pub(crate) async fn take_stock(&self, recordings: &[Recording]) -> anyhow::Result<()> {
        let tasks = self.tasks.borrow().clone();
        let api_folder = self.place.folder.join("api");
        for (id, recording) in tasks {
            let mut ending = self
                .client
                .ending(&id, &recordings[recording], &api_folder)
                .await;
            ending.attempts = watch::attempts(self.redis_port, &id).await?;
            self.ledger.borrow_mut().endings.insert(id, ending);
        }
        let leftovers = watch::leftovers(self.redis_port).await?;
        self.ledger.borrow_mut().leftovers = leftovers;
        Ok(())
    }

    /// Ends the workers, then everything else.
    pub(crate) async fn stop(self: Rc<Self>) -> anyhow::Result<()> {
        let watchers: Vec<_> = self.watchers.borrow_mut().drain(..).collect();
        for watcher in watchers {
            watcher.abort();
            // It holds the rig until it has ended.
            let _ = watcher.await;
        }
        let rig = Rc::into_inner(self)
            .ok_or_else(|| anyhow::anyhow!("somebody still uses the system"))?;
        rig.workers.into_inner().stop().await?;
        rig.api
            .into_inner()
            .stop(rustix::process::Signal::TERM)
            .await?;
        rig.redis
            .into_inner()
            .stop(rustix::process::Signal::TERM)
            .await
    }
}

/// Restarts bare workers, and notes who died though nobody hit them.
async fn tend(rig: Rc<Rig>) {
    loop {
        let tended = rig.workers.borrow_mut().tend();
        let mut surprises = tended.unwrap_or_else(|error| vec![format!("{error:#}")]);
        if !rig.api_is_ours.get() && rig.api.try_lock().is_ok_and(|mut api| api.died()) {
            surprises.push("wtt-api".to_owned());
            rig.api_is_ours.set(true);
        }
        rig.ledger.borrow_mut().surprises.extend(surprises);
        tokio::time::sleep(TEND).await;
    }
}
