// kafkajs, a client in JavaScript alone: makes a topic, produces plain and gzipped, asks for offsets, reads in a group.
//
// usage: kafkajs_smoke.js <broker>
const assert = require("node:assert");
const { CompressionTypes, Kafka, logLevel } = require("kafkajs");

const [broker] = process.argv.slice(2);
const TOPIC = "kafkajs";

async function main() {
  const kafka = new Kafka({ brokers: [broker], logLevel: logLevel.ERROR });
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic: TOPIC, numPartitions: 2, replicationFactor: 1 }] });
  assert((await admin.listTopics()).includes(TOPIC));

  const producer = kafka.producer({ idempotent: true });
  await producer.connect();
  for (const compression of [CompressionTypes.None, CompressionTypes.GZIP]) {
    const messages = Array.from({ length: 10 }, (_, number) => ({ partition: 0, key: "key", value: `${number}` }));
    const [stored] = await producer.send({ topic: TOPIC, compression, messages });
    assert.equal(stored.errorCode, 0);
  }
  await producer.disconnect();

  const offsets = await admin.fetchTopicOffsets(TOPIC);
  const first = offsets.find(({ partition }) => partition === 0);
  assert.deepEqual([first.low, first.high], ["0", "20"]);

  const consumer = kafka.consumer({ groupId: "kafkajs", sessionTimeout: 10000, maxWaitTimeInMs: 100 });
  await consumer.connect();
  await consumer.subscribe({ topic: TOPIC, fromBeginning: true });
  const read = await new Promise((resolve) => {
    const values = [];
    consumer.run({
      eachMessage: async ({ message }) => {
        values.push(message.value.toString());
        if (values.length === 20) resolve(values);
      },
    });
  });
  assert.deepEqual(read.slice(0, 10), Array.from({ length: 10 }, (_, number) => `${number}`));
  await consumer.disconnect();
  const { groups } = await admin.listGroups();
  assert(groups.some(({ groupId, protocolType }) => groupId === "kafkajs" && protocolType === "consumer"));

  await admin.deleteTopics({ topics: [TOPIC] });
  assert(!(await admin.listTopics()).includes(TOPIC));
  await admin.disconnect();
  console.log("kafkajs is at home");
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
