//! From a position as a person names it to an offset in each partition.

use std::collections::BTreeMap;

use super::client::{Client, Cluster, Isolation, PartitionName};
use super::error::ToolError;
use super::position::Position;
use crate::ids::Offset;
use crate::wire::offset_spec::OffsetSpec;

/// The offset in each of the partitions. Where no record is as young as the time asked for, it is the end.
pub(super) async fn starts(
    client: &mut Client,
    cluster: &Cluster,
    places: &[PartitionName],
    position: Position,
    isolation: Isolation,
) -> Result<BTreeMap<PartitionName, Offset>, ToolError> {
    match position {
        Position::Earliest => present(
            client
                .offsets(cluster, places, OffsetSpec::Earliest, isolation)
                .await?,
        ),
        Position::Latest => ends(client, cluster, places, isolation).await,
        Position::Time(at) => {
            let found = client
                .offsets(cluster, places, OffsetSpec::At(at), isolation)
                .await?;
            let mut starts = ends(client, cluster, places, isolation).await?;
            starts.extend(
                found
                    .into_iter()
                    .filter_map(|(place, offset)| Some((place, offset?))),
            );
            Ok(starts)
        }
        Position::Offset(offset) => {
            let first = present(
                client
                    .offsets(cluster, places, OffsetSpec::Earliest, isolation)
                    .await?,
            )?;
            let ends = ends(client, cluster, places, Isolation::ReadUncommitted).await?;
            check_range(offset, &first, &ends)?;
            Ok(places.iter().map(|place| (place.clone(), offset)).collect())
        }
    }
}

/// Where each of the partitions ends.
pub(super) async fn ends(
    client: &mut Client,
    cluster: &Cluster,
    places: &[PartitionName],
    isolation: Isolation,
) -> Result<BTreeMap<PartitionName, Offset>, ToolError> {
    present(
        client
            .offsets(cluster, places, OffsetSpec::Latest, isolation)
            .await?,
    )
}

/// Every partition has a beginning and an end.
fn present(
    offsets: BTreeMap<PartitionName, Option<Offset>>,
) -> Result<BTreeMap<PartitionName, Offset>, ToolError> {
    let present = |(place, offset): (PartitionName, Option<Offset>)| match offset {
        Some(offset) => Ok((place, offset)),
        None => Err(ToolError::Silent {
            api: "ListOffsets",
            about: format!("{}-{}", place.0, place.1),
        }),
    };
    offsets.into_iter().map(present).collect()
}

fn check_range(
    offset: Offset,
    starts: &BTreeMap<PartitionName, Offset>,
    ends: &BTreeMap<PartitionName, Offset>,
) -> Result<(), ToolError> {
    for (place, start) in starts {
        let end = ends.get(place).copied().unwrap_or(*start);
        if !(*start..=end).contains(&offset) {
            return Err(ToolError::OffsetOutOfRange {
                topic: place.0.clone(),
                partition: place.1,
                offset,
                start: *start,
                end,
            });
        }
    }
    Ok(())
}
