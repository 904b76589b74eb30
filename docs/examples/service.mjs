// Hands videos to `chunkferry serve` and waits for their ends. Nothing but Node's own modules.
//
//     node service.mjs SOCKET ACCOUNT=FILE [ACCOUNT=FILE ...]
//
// A line for each job as it ends: its id of yours, the outcome, and TikTok's name of the draft.

import http from "node:http";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";

class Service {
  constructor(socketPath) {
    this.socketPath = socketPath;
  }

  once(method, target, body, headers) {
    return new Promise((resolve, reject) => {
      const options = { socketPath: this.socketPath, path: target, method, headers, agent: false, timeout: 90_000 };
      const request = http.request(options, (answer) => {
        const pieces = [];
        answer.on("data", (piece) => pieces.push(piece));
        answer.on("error", reject);
        answer.on("end", () => {
          try {
            resolve([answer.statusCode, JSON.parse(Buffer.concat(pieces).toString() || "null")]);
          } catch (error) {
            reject(error);
          }
        });
      });
      request.on("timeout", () => request.destroy(new Error("no answer")));
      request.on("error", reject);
      request.end(body);
    });
  }

  // Asks until there is an answer: the service may be restarted at any moment.
  async call(method, target, body, headers = {}) {
    for (;;) {
      const [status, answer] = await this.once(method, target, body, headers).catch(() => [0, null]);
      if (status >= 200 && status < 300) return answer;
      if (status !== 0 && status !== 429 && status !== 503) throw new Error(`${answer?.code}: ${answer?.detail}`);
      await sleep(200);
    }
  }

  // Your own id makes it safe to ask again: the same job under it is one job, whatever became of it.
  submit(id, job) {
    const headers = { "content-type": "application/json", "idempotency-key": id };
    return this.call("POST", "/v1/jobs", JSON.stringify(job), headers);
  }

  // All that ended, or began to wait for a person, after this number.
  events(after) {
    return this.call("GET", `/v1/events?after=${after}&limit=1000`);
  }
}

const [socketPath, ...wishes] = process.argv.slice(2);
const service = new Service(socketPath);
const waiting = new Set();
for (const wish of wishes) {
  const [account, file] = wish.split(/=(.*)/s);
  const job = await service.submit(path.basename(file), { account, file: path.resolve(file) });
  waiting.add(job.id);
  console.log("accepted", path.basename(file));
}
let after = 0;
while (waiting.size > 0) {
  // A real pipeline stores `after` together with its own results, and begins with the stored number after a restart.
  const page = await service.events(after);
  after = page.next;
  for (const { job, kind, caller_id: id, end } of page.events) {
    if (!waiting.has(job) || kind === "unparked") continue;
    console.log(id, end.outcome, end.publish_id ?? end.why);
    if (kind === "ended") waiting.delete(job);
  }
  if (page.events.length === 0) await sleep(200);
}
