//! The tables with one row per event as Parquet, for programs that read columns. Plain pages without compression: every
//! reader has those, and the same rows give the same bytes.

use std::sync::Arc;

use parquet::data_type::{BoolType, ByteArray, ByteArrayType, DataType, DoubleType, Int64Type};
use parquet::errors::ParquetError;
use parquet::file::properties::WriterProperties;
use parquet::file::writer::{SerializedColumnWriter, SerializedFileWriter};
use parquet::schema::parser::parse_message_type;

use super::table::{Cell, Table};

/// Rows that a reader has to hold at once.
const ROW_GROUP: usize = 100_000;

/// What a column holds. Any of its values may be missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Text,
    Count,
    Number,
    Flag,
    Time,
}

impl Kind {
    fn of(column: &str) -> Self {
        match column {
            "raised_at" | "accepted_at" => Self::Time,
            "responders" | "rank" => Self::Count,
            "first_accept_s" => Self::Number,
            "drill" => Self::Flag,
            _ => Self::Text,
        }
    }

    fn schema(self, column: &str) -> String {
        match self {
            Self::Text => format!("optional BYTE_ARRAY {column} (UTF8);"),
            Self::Count => format!("optional INT64 {column};"),
            Self::Number => format!("optional DOUBLE {column};"),
            Self::Flag => format!("optional BOOLEAN {column};"),
            Self::Time => format!("optional INT64 {column} (TIMESTAMP_MILLIS);"),
        }
    }
}

/// Writes a table.
pub(super) fn bytes(table: &Table) -> Vec<u8> {
    write(table).expect("nothing but memory is written to, and the columns have one kind each")
}

fn write(table: &Table) -> Result<Vec<u8>, ParquetError> {
    let columns: String = table
        .columns
        .iter()
        .map(|column| Kind::of(column).schema(column))
        .collect();
    let schema = parse_message_type(&format!("message {} {{ {columns} }}", table.name))?;
    let properties = WriterProperties::builder()
        .set_created_by("analytics-batch".to_owned())
        .build();
    let mut writer = SerializedFileWriter::new(Vec::new(), Arc::new(schema), Arc::new(properties))?;
    for rows in table.rows.chunks(ROW_GROUP) {
        let mut group = writer.next_row_group()?;
        for (index, column) in table.columns.iter().enumerate() {
            let mut writer = group
                .next_column()?
                .expect("the schema has every column of the table");
            let cells = rows.iter().map(|row| &row[index]);
            write_column(&mut writer, Kind::of(column), cells)?;
            writer.close()?;
        }
        group.close()?;
    }
    writer.into_inner()
}

fn write_column<'a>(
    writer: &mut SerializedColumnWriter<'_>,
    kind: Kind,
    cells: impl Iterator<Item = &'a Cell>,
) -> Result<(), ParquetError> {
    match kind {
        Kind::Text => values::<ByteArrayType>(writer, cells, |cell| match cell {
            Cell::Text(text) => Some(ByteArray::from(text.as_str())),
            _ => None,
        }),
        Kind::Count => values::<Int64Type>(writer, cells, |cell| match cell {
            Cell::Count(count) => i64::try_from(*count).ok(),
            _ => None,
        }),
        Kind::Number => values::<DoubleType>(writer, cells, Cell::number),
        Kind::Flag => values::<BoolType>(writer, cells, |cell| match cell {
            Cell::Flag(flag) => Some(*flag),
            _ => None,
        }),
        Kind::Time => values::<Int64Type>(writer, cells, |cell| match cell {
            Cell::Time(time) => Some(time.as_millis()),
            _ => None,
        }),
    }
}

/// A level of 1 says that there is a value, 0 that there is none.
fn values<'a, T: DataType>(
    writer: &mut SerializedColumnWriter<'_>,
    cells: impl Iterator<Item = &'a Cell>,
    value: impl Fn(&Cell) -> Option<T::T>,
) -> Result<(), ParquetError> {
    let (mut values, mut levels) = (Vec::new(), Vec::new());
    for cell in cells {
        let value = value(cell);
        levels.push(i16::from(value.is_some()));
        values.extend(value);
    }
    writer
        .typed::<T>()
        .write_batch(&values, Some(&levels), None)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use event_model::EventTime;
    use parquet::file::reader::{FileReader, SerializedFileReader};

    use super::*;

    #[test]
    fn what_is_written_is_read_back() {
        let at = EventTime::from_millis(1_790_000_000_123);
        let table = Table {
            name: "alerts",
            title: "Every alert",
            columns: &["text", "raised_at", "drill", "first_accept_s", "responders"],
            rows: vec![
                vec![
                    Cell::text("=불"),
                    Cell::Time(at),
                    Cell::Flag(true),
                    Cell::seconds(1_500.0),
                    Cell::Count(2),
                ],
                vec![
                    Cell::None,
                    Cell::Time(at),
                    Cell::Flag(false),
                    Cell::None,
                    Cell::Count(0),
                ],
            ],
        };
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes(&table))).unwrap();
        let rows: Vec<String> = reader
            .get_row_iter(None)
            .unwrap()
            .map(|row| row.unwrap().to_string())
            .collect();
        assert_eq!(
            rows[0],
            "{text: \"=불\", raised_at: 2026-09-21 14:13:20.123 +00:00, drill: true, first_accept_s: 1.5, responders: 2}"
        );
        assert_eq!(
            rows[1],
            "{text: null, raised_at: 2026-09-21 14:13:20.123 +00:00, drill: false, first_accept_s: null, responders: 0}"
        );
    }

    #[test]
    fn a_table_without_rows_has_its_columns() {
        let table = Table {
            name: "accepts",
            title: "",
            columns: &["alert_id", "rank"],
            rows: vec![],
        };
        let reader = SerializedFileReader::new(bytes::Bytes::from(bytes(&table))).unwrap();
        assert_eq!(
            reader
                .metadata()
                .file_metadata()
                .schema_descr()
                .num_columns(),
            2
        );
        assert_eq!(reader.metadata().file_metadata().num_rows(), 0);
    }
}
