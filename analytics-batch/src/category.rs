//! What a call is about, by a dictionary of rules in Korean and English.
//!
//! A dictionary, not a model: a resident can read why a call was counted as what, and the same text is counted the same
//! way next year. The order of the categories is the order of the rules: the first that meets the text wins, so what is
//! most urgent stands first.

/// What a call is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
#[expect(missing_docs, reason = "the names say it")]
pub enum Category {
    Fire,
    Gas,
    Medical,
    Crime,
    Lift,
    Water,
    Power,
    Noise,
    LostPerson,
    /// No rule met the text, or there is none.
    Other,
}

impl Category {
    /// All of them, in the order of the rules.
    pub const ALL: [Self; 10] = [
        Self::Fire,
        Self::Gas,
        Self::Medical,
        Self::Crime,
        Self::Lift,
        Self::Water,
        Self::Power,
        Self::Noise,
        Self::LostPerson,
        Self::Other,
    ];

    /// The category of a text.
    pub fn of(text: &str) -> Self {
        let text = text.to_lowercase();
        let words: Vec<&str> = text
            .split(|character: char| !character.is_ascii_alphanumeric())
            .collect();
        let met = Self::ALL
            .into_iter()
            .find(|category| category.rules().meet(&text, &words));
        met.unwrap_or(Self::Other)
    }

    /// The name in tables.
    pub fn name(self) -> &'static str {
        match self {
            Self::Fire => "fire",
            Self::Gas => "gas",
            Self::Medical => "medical",
            Self::Crime => "crime",
            Self::Lift => "lift",
            Self::Water => "water",
            Self::Power => "power",
            Self::Noise => "noise",
            Self::LostPerson => "lost person",
            Self::Other => "other",
        }
    }

    fn rules(self) -> Rules {
        match self {
            // `불` alone also begins 불편 (discomfort), 불법 (unlawful), 불안 (fear): only what burns counts.
            Self::Fire => Rules {
                parts: &[
                    "화재",
                    "불이",
                    "불났",
                    "불 났",
                    "불나",
                    "불길",
                    "불꽃",
                    "연기",
                    "타는 냄새",
                    "방화",
                    "화염",
                ],
                words: &[
                    "fire", "fires", "smoke", "burning", "flames", "flame", "arson",
                ],
            },
            Self::Gas => Rules {
                parts: &["가스", "일산화탄소"],
                words: &["gas", "carbon", "monoxide"],
            },
            Self::Medical => Rules {
                parts: &[
                    "쓰러",
                    "심장",
                    "호흡",
                    "숨을",
                    "숨이",
                    "의식",
                    "출혈",
                    "피가",
                    "피를",
                    "다쳤",
                    "다쳐",
                    "부상",
                    "구급",
                    "응급",
                    "아파",
                    "아프",
                    "골절",
                    "경련",
                    "발작",
                    "중독",
                    "심정지",
                    "뇌졸중",
                ],
                words: &[
                    "medical",
                    "ambulance",
                    "heart",
                    "cardiac",
                    "unconscious",
                    "collapsed",
                    "breathing",
                    "breathe",
                    "bleeding",
                    "injured",
                    "injury",
                    "hurt",
                    "stroke",
                    "seizure",
                    "faint",
                    "fainted",
                    "choking",
                    "doctor",
                ],
            },
            Self::Crime => Rules {
                parts: &[
                    "도둑",
                    "강도",
                    "침입",
                    "흉기",
                    "폭행",
                    "폭력",
                    "때리",
                    "협박",
                    "스토킹",
                    "스토커",
                    "성추행",
                    "성폭",
                    "납치",
                    "수상한",
                    "몰카",
                    "싸움",
                ],
                words: &[
                    "crime", "thief", "theft", "burglar", "burglary", "robber", "robbery",
                    "intruder", "knife", "assault", "attack", "attacked", "violence", "stalker",
                    "stalking", "threat", "kidnap",
                ],
            },
            Self::Lift => Rules {
                parts: &["엘리베이터", "엘베", "승강기"],
                words: &["lift", "elevator", "elevators", "lifts"],
            },
            Self::Water => Rules {
                parts: &[
                    "누수",
                    "침수",
                    "단수",
                    "물이 새",
                    "물이 샌",
                    "물이 넘",
                    "물바다",
                    "수도",
                    "배관",
                    "홍수",
                ],
                words: &[
                    "water", "leak", "leaking", "flood", "flooding", "flooded", "pipe", "pipes",
                ],
            },
            Self::Power => Rules {
                parts: &["정전", "전기", "누전", "감전", "단전"],
                words: &[
                    "power",
                    "blackout",
                    "outage",
                    "electricity",
                    "electric",
                    "electrical",
                ],
            },
            Self::Noise => Rules {
                parts: &["소음", "시끄", "층간", "쿵쿵", "고성방가"],
                words: &["noise", "noisy", "loud", "shouting"],
            },
            Self::LostPerson => Rules {
                parts: &[
                    "실종",
                    "미아",
                    "치매",
                    "길을 잃",
                    "잃어버",
                    "가출",
                    "없어졌",
                    "안 보여",
                ],
                words: &["lost", "missing", "dementia", "wandered"],
            },
            Self::Other => Rules {
                parts: &[],
                words: &[],
            },
        }
    }
}

struct Rules {
    /// Korean joins its particles to the word: any part of the text counts.
    parts: &'static [&'static str],
    /// English: whole words only, so that `fire` is not found in `fired`.
    words: &'static [&'static str],
}

impl Rules {
    fn meet(&self, text: &str, words: &[&str]) -> bool {
        self.parts.iter().any(|part| text.contains(part))
            || words.iter().any(|word| self.words.contains(word))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_counted_for_the_most_urgent_thing_it_says() {
        let texts = [
            ("주방에 불이 났어요", Category::Fire),
            ("Smoke on the 3rd floor!", Category::Fire),
            ("가스 냄새가 나요", Category::Gas),
            ("할머니가 쓰러지셨어요", Category::Medical),
            ("someone COLLAPSED in the lift", Category::Medical),
            ("현관에 도둑이 있어요", Category::Crime),
            ("엘리베이터에 갇혔어요", Category::Lift),
            ("천장에서 물이 새요", Category::Water),
            ("정전입니다", Category::Power),
            ("층간소음이 너무 심해요", Category::Noise),
            ("치매 어르신이 안 보여요", Category::LostPerson),
            ("살려주세요", Category::Other),
            ("", Category::Other),
        ];
        for (text, category) in texts {
            assert_eq!(Category::of(text), category, "{text}");
        }
    }

    #[test]
    fn a_part_of_a_word_is_another_word() {
        assert_eq!(Category::of("the guard was fired"), Category::Other);
        assert_eq!(Category::of("불편해요"), Category::Other);
        assert_eq!(Category::of("gasoline"), Category::Other);
    }

    #[test]
    fn the_index_of_a_category_is_its_place_among_all() {
        for (index, category) in Category::ALL.into_iter().enumerate() {
            assert_eq!(category as usize, index);
        }
    }
}
