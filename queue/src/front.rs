//! Who is next: the ready tasks of a queue in the order in which they will be claimed. For display only; it is old when it arrives.

use crate::{Error, Queue, QueueName};

impl Queue {
    /// At most the first `most` of each of the queue's lists: alone, high, normal, low.
    pub async fn front(&self, queue: &QueueName, most: usize) -> Result<Vec<String>, Error> {
        let last = isize::try_from(most.max(1)).unwrap_or(isize::MAX);
        let mut pipeline = redis::pipe();
        for list in self.keys.lists(queue) {
            // Claims take from the tail.
            pipeline.lrange(list, -last, -1);
        }
        let lists: Vec<Vec<String>> = pipeline.query_async(&mut self.manager()).await?;
        Ok(lists
            .into_iter()
            .flat_map(|list| list.into_iter().rev())
            .take(most)
            .collect())
    }
}
