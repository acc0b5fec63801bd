use super::fault::SECTOR_BYTES;
use super::*;

const FOLDER: &str = "/data";

fn disk_with_folder(seed: u64) -> SimDisk {
    let disk = SimDisk::with_seed(seed);
    disk.create_folder(Path::new(FOLDER)).unwrap();
    disk.sync_folder(Path::new("/")).unwrap();
    disk
}

fn path(name: &str) -> PathBuf {
    Path::new(FOLDER).join(name)
}

fn synced_file(disk: &SimDisk, name: &str, bytes: &[u8]) -> Box<dyn DiskFile> {
    let file = disk.open(&path(name), OpenMode::CreateNew).unwrap();
    file.write_at(bytes, 0).unwrap();
    file.sync_data().unwrap();
    disk.sync_folder(Path::new(FOLDER)).unwrap();
    file
}

/// What is left of a file after a power cut, over many seeds.
fn left_over(name: &str, before: impl Fn(&SimDisk)) -> Vec<Option<Vec<u8>>> {
    (0..200)
        .map(|seed| {
            let disk = disk_with_folder(seed);
            before(&disk);
            disk.crash();
            disk.reboot();
            disk.file(&path(name))
        })
        .collect()
}

#[test]
fn what_was_synced_is_there_after_every_power_cut() {
    let left = left_over("file", |disk| {
        synced_file(disk, "file", &[7; 2_000]);
    });
    assert!(left.iter().all(|left| left.as_deref() == Some(&[7; 2_000])));
}

#[test]
fn an_unsynced_write_is_kept_or_lost_or_torn_between_sectors() {
    let left = left_over("file", |disk| {
        let file = synced_file(disk, "file", &[0; 2_000]);
        file.write_at(&[1; 1_500], 300).unwrap();
    });
    let left: Vec<Vec<u8>> = left
        .into_iter()
        .map(|left| left.expect("its name was synced"))
        .collect();

    let written = [vec![0; 300], vec![1; 1_500], vec![0; 200]].concat();
    assert!(left.contains(&vec![0; 2_000]), "never lost");
    assert!(left.contains(&written), "never kept");
    let torn = left
        .iter()
        .find(|left| **left != written && **left != [0; 2_000])
        .expect("torn at times");
    for sector in torn[512..1_536].chunks(SECTOR_BYTES) {
        assert!(
            sector.iter().all(|byte| byte == &sector[0]),
            "a sector is written whole or not at all"
        );
    }
}

#[test]
fn a_later_unsynced_write_may_be_kept_where_an_earlier_one_is_lost() {
    let left = left_over("file", |disk| {
        let file = synced_file(disk, "file", &[0; 1_024]);
        file.write_at(&[1; 512], 0).unwrap();
        file.write_at(&[2; 512], 512).unwrap();
    });
    let overtaken = [vec![0; 512], vec![2; 512]].concat();
    assert!(left.contains(&Some(overtaken)));
}

#[test]
fn a_name_that_was_not_synced_may_be_lost_though_its_bytes_were() {
    let left = left_over("file", |disk| {
        let file = disk.open(&path("file"), OpenMode::CreateNew).unwrap();
        file.write_at(b"bytes", 0).unwrap();
        file.sync_data().unwrap();
    });
    assert!(left.contains(&None));
    assert!(left.contains(&Some(b"bytes".to_vec())));
}

#[test]
fn an_unsynced_rename_leaves_the_old_file_or_the_new_one_whole() {
    let left = left_over("file", |disk| {
        synced_file(disk, "file", b"old");
        synced_file(disk, "file.new", b"new");
        disk.rename(&path("file.new"), &path("file")).unwrap();
    });
    assert!(left.contains(&Some(b"old".to_vec())));
    assert!(left.contains(&Some(b"new".to_vec())));
    assert!(left.iter().all(Option::is_some));
}

#[test]
fn an_unsynced_removal_may_bring_the_file_back() {
    let left = left_over("file", |disk| {
        synced_file(disk, "file", b"old");
        disk.remove_file(&path("file")).unwrap();
    });
    assert!(left.contains(&Some(b"old".to_vec())));
    assert!(left.contains(&None));
}

#[test]
fn after_the_chosen_operation_nothing_works_until_the_reboot_and_old_files_never_again() {
    let disk = disk_with_folder(1);
    let file = synced_file(&disk, "file", b"old");
    disk.crash_at(disk.operations() + 2);
    file.write_at(b"one", 0).unwrap();

    file.write_at(b"two", 0).unwrap_err();
    assert!(disk.is_down());
    file.read_at(&mut [0], 0).unwrap_err();
    disk.list(Path::new(FOLDER)).unwrap_err();
    disk.open(&path("file"), OpenMode::Read).err().unwrap();

    disk.reboot();
    file.read_at(&mut [0], 0).unwrap_err();
    disk.open(&path("file"), OpenMode::Read)
        .unwrap()
        .read_at(&mut [0], 0)
        .unwrap();
}

#[test]
fn a_killed_process_loses_its_handles_and_no_write() {
    let disk = disk_with_folder(1);
    let file = disk.open(&path("file"), OpenMode::CreateNew).unwrap();
    file.write_at(b"cached", 0).unwrap();

    disk.kill();

    file.write_at(b"ghost!", 0).unwrap_err();
    assert_eq!(disk.file(&path("file")).unwrap(), b"cached");
}

#[test]
fn bytes_whose_sync_failed_may_be_gone_though_a_second_sync_says_yes() {
    let left = left_over("file", |disk| {
        let file = synced_file(disk, "file", b"old");
        file.write_at(b"new", 0).unwrap();
        disk.inject(|call| {
            (call.operation == Operation::SyncFile).then_some(Fault::Fails(ErrorKind::Other))
        });
        file.sync_data().unwrap_err();
        disk.heal();
        file.sync_data().unwrap();
        assert_eq!(
            disk.file(&path("file")).unwrap(),
            b"new",
            "the cache still shows it"
        );
    });
    assert!(left.contains(&Some(b"old".to_vec())));
}

#[test]
fn an_ignored_sync_keeps_nothing() {
    let left = left_over("file", |disk| {
        let file = synced_file(disk, "file", b"old");
        disk.inject(|call| (call.operation == Operation::SyncFile).then_some(Fault::Ignored));
        file.write_at(b"new", 0).unwrap();
        file.sync_data().unwrap();
    });
    assert!(left.contains(&Some(b"old".to_vec())));
}

#[test]
fn a_full_disk_refuses_growth_and_takes_overwriting() {
    let disk = disk_with_folder(1);
    let file = synced_file(&disk, "file", &[0; 100]);
    disk.set_capacity(Some(100));

    file.write_at(&[1; 100], 0).unwrap();
    assert_eq!(disk.free_bytes(Path::new(FOLDER)).unwrap(), 0);
    assert_eq!(
        file.write_at(&[1; 2], 99).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
    assert_eq!(
        file.set_len(101).unwrap_err().kind(),
        ErrorKind::StorageFull
    );
}

#[test]
fn the_same_seed_leaves_the_same_disk() {
    let run = |seed| {
        let disk = disk_with_folder(seed);
        for name in ["a", "b", "c"] {
            let file = disk.open(&path(name), OpenMode::CreateNew).unwrap();
            file.write_at(&[7; 5_000], 0).unwrap();
        }
        disk.crash();
        disk.files()
    };
    assert_eq!(run(11), run(11));
    assert!((0..50).any(|seed| run(seed) != run(11)));
}

#[test]
fn a_linked_file_has_two_names_and_takes_its_room_once() {
    let disk = disk_with_folder(1);
    let file = synced_file(&disk, "file", b"old");
    disk.set_capacity(Some(6));

    disk.hard_link(&path("file"), &path("link")).unwrap();
    file.write_at(b"new", 3).unwrap();

    assert_eq!(disk.file(&path("link")).unwrap(), b"oldnew");
    assert_eq!(disk.free_bytes(Path::new(FOLDER)).unwrap(), 0);
    disk.rename(&path("link"), &path("file")).unwrap();
    assert!(disk.exists(&path("link")), "POSIX leaves both");
    disk.remove_file(&path("file")).unwrap();
    assert_eq!(disk.file(&path("link")).unwrap(), b"oldnew");
}

#[test]
fn a_link_lasts_once_its_folder_is_synced_and_its_bytes_once_the_file_is() {
    let left = left_over("link", |disk| {
        let file = synced_file(disk, "file", b"old");
        disk.hard_link(&path("file"), &path("link")).unwrap();
        disk.sync_folder(Path::new(FOLDER)).unwrap();
        file.write_at(b"new", 0).unwrap();
    });
    assert!(left.iter().all(Option::is_some));
    assert!(left.contains(&Some(b"old".to_vec())));
    assert!(left.contains(&Some(b"new".to_vec())));

    let unsynced = left_over("link", |disk| {
        synced_file(disk, "file", b"old");
        disk.hard_link(&path("file"), &path("link")).unwrap();
    });
    assert!(unsynced.contains(&None));
    assert!(unsynced.contains(&Some(b"old".to_vec())));
}

#[test]
fn a_folder_moves_with_all_that_is_in_it() {
    let disk = disk_with_folder(1);
    disk.create_folder(&path("from/inner")).unwrap();
    disk.open(&path("from/inner/file"), OpenMode::CreateNew)
        .unwrap();

    disk.rename(&path("from"), &path("to")).unwrap();

    assert!(disk.exists(&path("to/inner/file")));
    assert!(!disk.exists(&path("from")));
    assert_eq!(disk.list(&path("to")).unwrap(), ["inner"]);
}

#[test]
fn a_folder_that_takes_the_name_of_a_removed_one_keeps_its_own_files() {
    for seed in 0..200 {
        let disk = disk_with_folder(seed);
        let folders = ["old", "new"].map(path);
        for folder in &folders {
            disk.create_folder(folder).unwrap();
            let file = disk.open(&folder.join("file"), OpenMode::CreateNew);
            let name = folder.file_name().unwrap().as_encoded_bytes();
            let file = file.unwrap();
            file.write_at(name, 0).unwrap();
            file.sync_data().unwrap();
            disk.sync_folder(folder).unwrap();
        }
        disk.sync_folder(Path::new(FOLDER)).unwrap();

        // The removal inside the old folder is never synced by itself.
        disk.remove_folder(&path("old")).unwrap();
        disk.sync_folder(Path::new(FOLDER)).unwrap();
        disk.rename(&path("new"), &path("old")).unwrap();
        disk.sync_folder(Path::new(FOLDER)).unwrap();
        disk.sync_folder(&path("old")).unwrap();
        disk.crash();
        disk.reboot();

        assert_eq!(disk.file(&path("old/file")).unwrap(), b"new");
        assert!(!disk.exists(&path("new")));
    }
}

#[test]
fn a_name_made_in_a_folder_before_its_move_lasts_once_the_folder_is_synced_under_the_new_name() {
    for seed in 0..50 {
        let disk = disk_with_folder(seed);
        disk.create_folder(&path("from")).unwrap();
        synced_file(&disk, "from/file", b"moved");
        disk.rename(&path("from"), &path("to")).unwrap();
        disk.sync_folder(&path("to")).unwrap();
        disk.sync_folder(Path::new(FOLDER)).unwrap();
        disk.crash();
        disk.reboot();
        assert_eq!(disk.file(&path("to/file")).unwrap(), b"moved");
        assert!(!disk.exists(&path("from")));
    }
}

#[test]
fn a_copy_has_the_same_files_and_a_life_of_its_own() {
    let disk = disk_with_folder(1);
    synced_file(&disk, "file", b"old");
    let copy = disk.copy(2);
    assert_eq!(copy.files(), disk.files());

    synced_file(&copy, "other", b"new");

    assert_eq!(copy.file(&path("file")).unwrap(), b"old");
    assert!(!disk.exists(&path("other")));
}
