// Kafka's own Java client: topics, every codec, a group, offsets by time, transactions.
//
// usage: java -cp 'JARS/*' JavaSmoke.java <broker>

import java.nio.charset.StandardCharsets;
import java.time.Duration;
import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.Optional;
import java.util.Properties;
import java.util.Set;
import org.apache.kafka.clients.admin.Admin;
import org.apache.kafka.clients.admin.ConfigEntry;
import org.apache.kafka.clients.admin.AlterConfigOp;
import org.apache.kafka.clients.admin.NewPartitionReassignment;
import org.apache.kafka.clients.admin.NewPartitions;
import org.apache.kafka.clients.admin.NewTopic;
import org.apache.kafka.clients.admin.OffsetSpec;
import org.apache.kafka.clients.consumer.ConsumerRecord;
import org.apache.kafka.clients.consumer.KafkaConsumer;
import org.apache.kafka.clients.consumer.OffsetAndMetadata;
import org.apache.kafka.clients.producer.KafkaProducer;
import org.apache.kafka.clients.producer.ProducerRecord;
import org.apache.kafka.common.ElectionType;
import org.apache.kafka.common.TopicPartition;
import org.apache.kafka.common.config.ConfigResource;
import org.apache.kafka.common.errors.ElectionNotNeededException;
import org.apache.kafka.common.errors.ProducerFencedException;
import org.apache.kafka.common.serialization.StringDeserializer;
import org.apache.kafka.common.serialization.StringSerializer;

public class JavaSmoke {
    static final String TOPIC = "java";
    static final List<String> CODECS = List.of("none", "gzip", "snappy", "lz4", "zstd");
    static String broker;

    public static void main(String[] arguments) throws Exception {
        broker = arguments[0];
        try (Admin admin = Admin.create(Map.of("bootstrap.servers", broker))) {
            administers(admin);
            producesWithEveryCodec();
            consumesInAGroup(admin);
            findsOffsetsByTime(admin);
            readsOnlyWhatWasCommitted();
            fencesTheElder();
            consumesTransformsAndProduces(admin);
            keepsTransactionsFromCalls(admin);
            asksForWhatIsNeverNeeded(admin);
            deletes(admin);
        }
        System.out.println("at home");
    }

    static void administers(Admin admin) throws Exception {
        admin.createTopics(List.of(new NewTopic(TOPIC, 1, (short) -1))).all().get();
        admin.createPartitions(Map.of(TOPIC, NewPartitions.increaseTo(2))).all().get();
        check(admin.listTopics().names().get().contains(TOPIC), "the topic is listed");
        var description = admin.describeTopics(List.of(TOPIC)).allTopicNames().get().get(TOPIC);
        check(description.partitions().size() == 2, "two partitions: " + description);
        check(admin.describeCluster().nodes().get().size() == 1, "one node");

        var resource = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        var longer = new AlterConfigOp(new ConfigEntry("retention.ms", "86400000"), AlterConfigOp.OpType.SET);
        admin.incrementalAlterConfigs(Map.of(resource, List.of(longer))).all().get();
        var config = admin.describeConfigs(List.of(resource)).all().get().get(resource);
        check(config.get("retention.ms").value().equals("86400000"), "a config that was set: " + config.get("retention.ms"));
        check(config.get("cleanup.policy").value().equals("delete"), "and one with its default");
    }

    static void producesWithEveryCodec() throws Exception {
        for (String codec : CODECS) {
            // The client's defaults: idempotent, acks=all.
            try (var producer = producer(Map.of("compression.type", codec))) {
                for (int number = 0; number < 10; number++) {
                    var record = new ProducerRecord<>(TOPIC, 0, "key", codec + " " + number);
                    record.headers().add("codec", codec.getBytes(StandardCharsets.UTF_8));
                    producer.send(record).get();
                }
            }
        }
    }

    static void consumesInAGroup(Admin admin) throws Exception {
        var expected = new ArrayList<String>();
        CODECS.forEach(codec -> { for (int number = 0; number < 10; number++) expected.add(codec + " " + number); });
        try (var consumer = consumer("java", Map.of())) {
            consumer.subscribe(List.of(TOPIC));
            var records = read(consumer, 50);
            check(records.stream().map(ConsumerRecord::value).toList().equals(expected), "all in order");
            check(new String(records.get(10).headers().lastHeader("codec").value()).equals("gzip"), "with headers");
            consumer.commitSync(Map.of(new TopicPartition(TOPIC, 0), new OffsetAndMetadata(50, "by hand")));
            var described = admin.describeConsumerGroups(List.of("java")).all().get().get("java");
            check(described.members().size() == 1, "one member: " + described);
        }
        var offsets = admin.listConsumerGroupOffsets("java").partitionsToOffsetAndMetadata().get();
        var committed = offsets.get(new TopicPartition(TOPIC, 0));
        check(committed.offset() == 50 && committed.metadata().equals("by hand"), "committed: " + committed);
        try (var consumer = consumer("java", Map.of())) {
            consumer.subscribe(List.of(TOPIC));
            check(consumer.poll(Duration.ofSeconds(3)).isEmpty(), "goes on where it committed");
            consumer.seekToBeginning(consumer.assignment());
            check(read(consumer, 50).size() == 50, "rewinds");
        }
    }

    static void findsOffsetsByTime(Admin admin) throws Exception {
        var partition = new TopicPartition(TOPIC, 0);
        try (var consumer = consumer(null, Map.of())) {
            consumer.assign(List.of(partition));
            consumer.seekToBeginning(List.of(partition));
            var twentieth = read(consumer, 50).get(20);
            var found = consumer.offsetsForTimes(Map.of(partition, twentieth.timestamp())).get(partition);
            check(found.offset() <= 20 && found.timestamp() == twentieth.timestamp(), "by time: " + found);
        }
        var latest = admin.listOffsets(Map.of(partition, OffsetSpec.latest())).partitionResult(partition).get();
        check(latest.offset() == 50, "latest: " + latest);
    }

    static void readsOnlyWhatWasCommitted() {
        try (var writer = producer(Map.of("transactional.id", "java"))) {
            writer.initTransactions();
            writer.beginTransaction();
            writer.send(new ProducerRecord<>(TOPIC, 1, null, "aborted"));
            writer.flush();
            writer.abortTransaction();
            writer.beginTransaction();
            writer.send(new ProducerRecord<>(TOPIC, 1, null, "committed"));
            writer.commitTransaction();
        }
        try (var reader = consumer(null, Map.of("isolation.level", "read_committed"))) {
            reader.assign(List.of(new TopicPartition(TOPIC, 1)));
            reader.seekToBeginning(reader.assignment());
            check(read(reader, 1).get(0).value().equals("committed"), "the aborted record is not seen");
        }
    }

    static void fencesTheElder() {
        try (var elder = producer(Map.of("transactional.id", "twins")); var younger = producer(Map.of("transactional.id", "twins"))) {
            elder.initTransactions();
            elder.beginTransaction();
            younger.initTransactions();
            elder.send(new ProducerRecord<>(TOPIC, 1, null, "from the elder"));
            try {
                elder.commitTransaction();
                check(false, "the elder is fenced");
            } catch (ProducerFencedException expected) {
                // As it must be.
            }
        }
    }

    static void consumesTransformsAndProduces(Admin admin) throws Exception {
        admin.createTopics(List.of(new NewTopic("java-out", 1, (short) 1))).all().get();
        try (var reader = consumer("java-transform", Map.of());
                var writer = producer(Map.of("transactional.id", "java-transform"))) {
            writer.initTransactions();
            reader.assign(List.of(new TopicPartition(TOPIC, 0)));
            reader.seekToBeginning(reader.assignment());
            var records = read(reader, 50);
            writer.beginTransaction();
            records.forEach(record -> writer.send(new ProducerRecord<>("java-out", record.value().toUpperCase())));
            var done = Map.of(new TopicPartition(TOPIC, 0), new OffsetAndMetadata(50));
            writer.sendOffsetsToTransaction(done, reader.groupMetadata());
            writer.commitTransaction();
        }
        var offsets = admin.listConsumerGroupOffsets("java-transform").partitionsToOffsetAndMetadata().get();
        check(offsets.get(new TopicPartition(TOPIC, 0)).offset() == 50, "offsets committed with the records");
        try (var reader = consumer(null, Map.of("isolation.level", "read_committed"))) {
            reader.assign(List.of(new TopicPartition("java-out", 0)));
            reader.seekToBeginning(reader.assignment());
            check(read(reader, 50).get(49).value().equals("ZSTD 9"), "the last of fifty");
        }
    }

    /// The refusal costs the producer its transaction, and not itself.
    static void keepsTransactionsFromCalls(Admin admin) throws Exception {
        var calls = new NewTopic("calls", 1, (short) -1).configs(Map.of("mayday.acks.min", "all"));
        admin.createTopics(List.of(calls)).all().get();
        try (var producer = producer(Map.of("transactional.id", "caller"))) {
            producer.initTransactions();
            producer.beginTransaction();
            try {
                producer.send(new ProducerRecord<>("calls", "key", "call")).get();
                throw new AssertionError("a transaction on a topic of calls");
            } catch (java.util.concurrent.ExecutionException refused) {
                check(refused.getMessage().contains("POLICY_VIOLATION"), refused.toString());
            }
            producer.abortTransaction();
            producer.beginTransaction();
            producer.send(new ProducerRecord<>(TOPIC, 0, "key", "afterwards")).get();
            producer.commitTransaction();
        }
        admin.deleteTopics(List.of("calls")).all().get();
    }

    static void asksForWhatIsNeverNeeded(Admin admin) throws Exception {
        var partition = new TopicPartition(TOPIC, 0);
        var elected = admin.electLeaders(ElectionType.PREFERRED, Set.of(partition)).partitions().get();
        check(elected.get(partition).get() instanceof ElectionNotNeededException, "an election: " + elected);
        var there = Optional.of(new NewPartitionReassignment(List.of(1)));
        admin.alterPartitionReassignments(Map.of(partition, there)).all().get();
        check(admin.listPartitionReassignments().reassignments().get().isEmpty(), "a reassignment is under way");
        var topic = new ConfigResource(ConfigResource.Type.TOPIC, TOPIC);
        check(admin.listConfigResources().all().get().contains(topic), "a topic has settings");
        var transactions = admin.listTransactions().all().get();
        check(transactions.stream().anyMatch(it -> it.transactionalId().equals("caller")), "listed: " + transactions);
        var tiered = admin.listOffsets(Map.of(partition, OffsetSpec.latestTiered())).all().get();
        check(tiered.get(partition).offset() == -1, "there is one tier: " + tiered);
    }

    static void deletes(Admin admin) throws Exception {
        admin.deleteConsumerGroups(List.of("java", "java-transform")).all().get();
        admin.deleteTopics(List.of(TOPIC, "java-out")).all().get();
        check(!admin.listTopics().names().get().contains(TOPIC), "the topic is gone");
        check(admin.listGroups().all().get().isEmpty(), "and the groups");
    }

    static KafkaProducer<String, String> producer(Map<String, String> more) {
        var settings = new Properties();
        settings.put("bootstrap.servers", broker);
        settings.putAll(more);
        return new KafkaProducer<>(settings, new StringSerializer(), new StringSerializer());
    }

    static KafkaConsumer<String, String> consumer(String group, Map<String, String> more) {
        var settings = new Properties();
        settings.put("bootstrap.servers", broker);
        settings.put("auto.offset.reset", "earliest");
        settings.put("enable.auto.commit", "false");
        if (group != null) settings.put("group.id", group);
        settings.putAll(more);
        return new KafkaConsumer<>(settings, new StringDeserializer(), new StringDeserializer());
    }

    static List<ConsumerRecord<String, String>> read(KafkaConsumer<String, String> consumer, int count) {
        var records = new ArrayList<ConsumerRecord<String, String>>();
        long deadline = System.nanoTime() + Duration.ofSeconds(60).toNanos();
        while (records.size() < count) {
            check(System.nanoTime() < deadline, count + " records were to come, " + records.size() + " did");
            consumer.poll(Duration.ofMillis(200)).forEach(records::add);
        }
        return records;
    }

    static void check(boolean holds, String what) {
        if (!holds) throw new AssertionError(what);
    }
}
