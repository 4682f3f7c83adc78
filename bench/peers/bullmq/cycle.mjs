// One contender of bench-queue: the cycle of BullMQ, enqueue one by one, then process and acknowledge.
// It speaks the contenders' protocol: "ready" after a warm-up, then it waits for a line, measures, and prints one line of JSON.
import { once } from "node:events";
import { createInterface } from "node:readline";
import { parseArgs } from "node:util";
import { Queue, Worker } from "bullmq";

const text = { type: "string" };
const { values } = parseArgs({ options: { socket: text, port: text, tasks: text, "warm-up": text, clients: text, payload: text } });
const clients = Number(values.clients);
const where = values.port ? { host: "127.0.0.1", port: Number(values.port) } : { path: values.socket };
const connection = { ...where, maxRetriesPerRequest: null };

// Each of the clients enqueues its share over a connection of its own.
async function enqueue(phase, count) {
  const data = { body: "x".repeat(Number(values.payload)) };
  const producer = async (first) => {
    const queue = new Queue("cycle", { connection });
    for (let n = first; n < count; n += clients) await queue.add("cycle", data, { jobId: `${phase}-${n}` });
    await queue.close();
  };
  await Promise.all(Array.from({ length: clients }, (_, first) => producer(first)));
}

// Works until all are acknowledged: BullMQ says "completed" after the server has recorded it.
async function drain(count) {
  const seen = new Set();
  let finished = 0;
  const worker = new Worker("cycle", async () => null, { connection, concurrency: clients, autorun: false });
  await worker.waitUntilReady();
  const start = performance.now();
  const all = new Promise((resolve) => {
    worker.on("completed", (job) => {
      seen.add(job.id);
      finished += 1;
      if (finished === count) resolve();
    });
  });
  worker.run();
  await all;
  const seconds = (performance.now() - start) / 1000;
  await worker.close();
  return { finished, distinct: seen.size, seconds };
}

const tasks = Number(values.tasks);
const warmUp = Number(values["warm-up"]);
await enqueue("warm", warmUp);
await drain(warmUp);
console.log("ready");
await once(createInterface({ input: process.stdin }), "line");

const before = process.cpuUsage();
const start = performance.now();
await enqueue("task", tasks);
const enqueueSeconds = (performance.now() - start) / 1000;
const { finished, distinct, seconds } = await drain(tasks);
const used = process.cpuUsage(before);

const queue = new Queue("cycle", { connection });
const counts = await queue.getJobCounts("wait", "active", "failed", "delayed", "completed");
await queue.close();
const settled = counts.completed === tasks + warmUp && counts.wait + counts.active + counts.failed + counts.delayed === 0;
console.log(JSON.stringify({
  finished, distinct, settled, enqueue_seconds: enqueueSeconds, drain_seconds: seconds,
  cpu_seconds: (used.user + used.system) / 1e6,
}));
process.exit(0);
