// Kafka's own code reads segment files, as its broker and its tools do, and says what is in them, a line of JSON a batch.
//
// usage: java -cp 'JARS/*' JavaSegments.java <file.log>..

import java.io.File;
import java.nio.ByteBuffer;
import java.util.HexFormat;
import java.util.StringJoiner;
import org.apache.kafka.common.header.Header;
import org.apache.kafka.common.record.FileRecords;
import org.apache.kafka.common.record.Record;
import org.apache.kafka.common.record.RecordBatch;

public class JavaSegments {
    public static void main(String[] arguments) throws Exception {
        for (String path : arguments) {
            try (FileRecords segment = FileRecords.open(new File(path), false)) {
                for (RecordBatch batch : segment.batches()) {
                    batch.ensureValid();
                    System.out.println(read(batch));
                }
            }
        }
    }

    static String read(RecordBatch batch) {
        StringJoiner records = new StringJoiner(",", "[", "]");
        for (Record record : batch) {
            record.ensureValid();
            records.add(read(record));
        }
        return "{\"base_offset\":" + batch.baseOffset()
            + ",\"last_offset\":" + batch.lastOffset()
            + ",\"leader_epoch\":" + batch.partitionLeaderEpoch()
            + ",\"codec\":\"" + batch.compressionType().name + "\""
            + ",\"transactional\":" + batch.isTransactional()
            + ",\"control\":" + batch.isControlBatch()
            + ",\"producer_id\":" + batch.producerId()
            + ",\"producer_epoch\":" + batch.producerEpoch()
            + ",\"base_sequence\":" + batch.baseSequence()
            + ",\"max_timestamp\":" + batch.maxTimestamp()
            + ",\"records\":" + records + "}";
    }

    static String read(Record record) {
        StringJoiner headers = new StringJoiner(",", "[", "]");
        for (Header header : record.headers()) {
            ByteBuffer value = header.value() == null ? null : ByteBuffer.wrap(header.value());
            // The names in the test need no escaping.
            headers.add("[\"" + header.key() + "\"," + hex(value) + "]");
        }
        return "{\"offset\":" + record.offset()
            + ",\"timestamp\":" + record.timestamp()
            + ",\"key\":" + hex(record.key())
            + ",\"value\":" + hex(record.value())
            + ",\"headers\":" + headers + "}";
    }

    static String hex(ByteBuffer bytes) {
        if (bytes == null) {
            return "null";
        }
        byte[] copy = new byte[bytes.remaining()];
        bytes.duplicate().get(copy);
        return "\"" + HexFormat.of().formatHex(copy) + "\"";
    }
}
