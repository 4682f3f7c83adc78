//! All that Redis holds about the tasks of a history, read in one script, so that looking often stays cheap.

use std::collections::{BTreeMap, HashMap};
use std::sync::LazyLock;

use crate::model::QUEUES;

/// Lists of a queue in the order in which the script reads them.
pub(crate) const KINDS: [&str; 4] = ["alone", "high", "normal", "low"];

/// Lines: eight lists, processing, leases, delayed, parked, failed, outbox, work, inflight; then one for each id.
const LOOK: &str = r#"
local C, out = redis.call, {}
local function line(t) out[#out + 1] = table.concat(t, '\31') end
for _, base in ipairs({'task:queue', 'task:queue:gpu'}) do
  for _, kind in ipairs({':alone', ':high', '', ':low'}) do line(C('LRANGE', base .. kind, 0, -1)) end
end
line(C('LRANGE', 'task:processing', 0, -1))
line(C('ZRANGE', 'task:processing:time', 0, -1, 'WITHSCORES'))
line(C('ZRANGE', 'task:delayed', 0, -1, 'WITHSCORES'))
line(C('SMEMBERS', 'task:parked'))
line(C('LRANGE', 'task:failed', 0, -1))
local entries = {}
for i, entry in ipairs(C('LRANGE', 'task:results', 0, -1)) do
  entries[i] = string.match(entry, '^(%d+)\n') .. ' ' .. string.match(entry, '"id":"([^"]*)"') .. ' '
    .. string.match(entry, '"life":"(%d+)"')
end
line(entries)
line(C('HGETALL', 'task:work'))
line(C('HGETALL', 'task:inflight'))
for _, id in ipairs(ARGV) do line(C('HGETALL', 'task:' .. id)) end
return table.concat(out, '\n')"#;

pub(crate) static SCRIPT: LazyLock<redis::Script> = LazyLock::new(|| redis::Script::new(LOOK));

/// Where an id stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Spot {
    List(usize, &'static str),
    Processing,
    Delayed(u64),
    Parked,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct View<'a> {
    pub(crate) spots: HashMap<&'a str, Vec<Spot>>,
    pub(crate) leases: HashMap<&'a str, u64>,
    /// Newest first.
    pub(crate) dead: Vec<&'a str>,
    /// Number, id and life, newest first.
    pub(crate) outbox: Vec<(u64, &'a str, u64)>,
    pub(crate) work: BTreeMap<&'a str, u64>,
    pub(crate) inflight: BTreeMap<&'a str, u64>,
    /// In the order of the ids asked for; empty = no hash.
    pub(crate) hashes: Vec<BTreeMap<&'a str, &'a str>>,
}

fn words(line: &str) -> impl Iterator<Item = &str> {
    line.split('\x1f').filter(move |_| !line.is_empty())
}

fn pairs(line: &str) -> impl Iterator<Item = (&str, &str)> {
    let mut all = words(line);
    std::iter::from_fn(move || Some((all.next()?, all.next()?)))
}

/// Scores may be written as floats.
pub(crate) fn number(text: &str) -> u64 {
    text.parse()
        .unwrap_or_else(|_| text.parse::<f64>().map_or(u64::MAX, |n| n as u64))
}

impl<'a> View<'a> {
    pub(crate) fn of(text: &'a str) -> Self {
        let mut view = View::default();
        let mut lines = text.split('\n');
        let mut line = || lines.next().unwrap_or_default();
        for queue in 0..QUEUES.len() {
            for kind in KINDS {
                for id in words(line()) {
                    view.put(id, Spot::List(queue, kind));
                }
            }
        }
        for id in words(line()) {
            view.put(id, Spot::Processing);
        }
        view.leases = pairs(line()).map(|(id, end)| (id, number(end))).collect();
        for (id, due) in pairs(line()) {
            view.put(id, Spot::Delayed(number(due)));
        }
        for id in words(line()) {
            view.put(id, Spot::Parked);
        }
        view.dead = words(line()).collect();
        for entry in words(line()) {
            let mut parts = entry.split(' ');
            let mut part = || parts.next().unwrap_or_default();
            let (n, id, life) = (number(part()), part(), number(part()));
            view.outbox.push((n, id, life));
        }
        view.work = pairs(line()).map(|(k, sum)| (k, number(sum))).collect();
        view.inflight = pairs(line()).map(|(k, sum)| (k, number(sum))).collect();
        view.hashes = lines.map(|hash| pairs(hash).collect()).collect();
        view
    }

    fn put(&mut self, id: &'a str, spot: Spot) {
        self.spots.entry(id).or_default().push(spot);
    }

    pub(crate) fn spots(&self, id: &str) -> &[Spot] {
        self.spots.get(id).map_or(&[], Vec::as_slice)
    }
}
