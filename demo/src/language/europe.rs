//! English, German, Turkish.

use super::{Language, Topic};

pub(super) const ENGLISH: Language = Language {
    code: "en",
    share: 30,
    between: " ",
    family_first: false,
    given_names: &[
        ("Mia", "mia"),
        ("Noah", "noah"),
        ("Amara", "amara"),
        ("Oliver", "oliver"),
        ("Priya", "priya"),
        ("Jack", "jack"),
        ("Zoe", "zoe"),
        ("Samuel", "samuel"),
        ("Ruth", "ruth"),
        ("Kofi", "kofi"),
    ],
    family_names: &[
        ("Walker", "walker"),
        ("Okafor", "okafor"),
        ("Bennett", "bennett"),
        ("Murphy", "murphy"),
        ("Shaw", "shaw"),
        ("Campbell", "campbell"),
        ("Ellis", "ellis"),
        ("Turner", "turner"),
    ],
    bios: &[
        "Reads on trains, writes on napkins.",
        "Slow cyclist, fast talker.",
        "Teacher by day, baker by night.",
        "Here for the birds and the bread.",
        "",
    ],
    leads: &[
        "Good morning, everyone!",
        "A small thing I learned today.",
        "Well, this was unexpected.",
        "Sunday thoughts.",
    ],
    closers: &[
        "What do you think?",
        "Any suggestions?",
        "I would do it again.",
        "Photos tomorrow, I promise.",
    ],
    topics: &[
        Topic {
            tag: "cycling",
            title: "Two wheels",
            sentences: &[
                "The river path is finally open again, and the morning light there is worth every hill.",
                "My old bicycle has a new chain and suddenly believes that it is ten years younger.",
                "Rode to work in the rain and arrived happier than by bus.",
                "If you see a green bike with one red mudguard, wave: that is me.",
            ],
        },
        Topic {
            tag: "bread",
            title: "Notes on a loaf",
            sentences: &[
                "The sourdough rose overnight and tried to leave the bowl.",
                "More water, longer rest, hotter oven: that is the whole secret.",
                "My neighbour traded a jar of honey for half a loaf, and both of us feel that we won.",
            ],
        },
        Topic {
            tag: "books",
            title: "From the reading chair",
            sentences: &[
                "Finished a novel at two in the morning and now I miss people who never existed.",
                "The library has a shelf called \"returned today\", and it is the best recommendation engine in town.",
                "I keep buying books faster than I read them, which I have decided to call a collection.",
            ],
        },
        Topic {
            tag: "astronomy",
            title: "Looking up",
            sentences: &[
                "Saturn was sharp enough last night to see the gap in its rings.",
                "Took the children out to count shooting stars; we stopped at eleven because of the cold.",
                "It still amazes me that the light of that galaxy is older than our species.",
            ],
        },
        Topic {
            tag: "rustlang",
            title: "Debugging diary",
            sentences: &[
                "The bug was in the test, the test was in the wrong folder, and the folder was in my head.",
                "Deleted four hundred lines today and everything got faster.",
                "The compiler was right again, and I have made my peace with that.",
            ],
        },
    ],
    comments: &[
        "This made my day.",
        "I had exactly the same thought last week!",
        "Could you tell us more about it?",
        "Not sure that I agree, but nicely put.",
        "Saving this for later.",
        "Thank you, I needed that.",
        "Ha, my sister says the same.",
        "Where was this?",
    ],
};

pub(super) const GERMAN: Language = Language {
    code: "de",
    share: 10,
    between: " ",
    family_first: false,
    given_names: &[
        ("Lena", "lena"),
        ("Jonas", "jonas"),
        ("Käthe", "kaethe"),
        ("Moritz", "moritz"),
        ("Ayşe", "ayse"),
        ("Jürgen", "juergen"),
        ("Hanna", "hanna"),
        ("Emil", "emil"),
    ],
    family_names: &[
        ("Keller", "keller"),
        ("Schäfer", "schaefer"),
        ("Vogt", "vogt"),
        ("Brandt", "brandt"),
        ("Yılmaz", "yilmaz"),
        ("Groß", "gross"),
        ("Lorenz", "lorenz"),
    ],
    bios: &[
        "Sammelt Fahrkarten und gute Sätze.",
        "Hebamme, Hobbygärtnerin, Frühaufsteherin.",
        "Meistens draußen.",
        "",
    ],
    leads: &[
        "Guten Morgen zusammen!",
        "Kurze Meldung aus dem Alltag.",
        "Man lernt nie aus.",
    ],
    closers: &["Was meint ihr?", "Hat jemand einen Tipp?", "Morgen gibt es Bilder."],
    topics: &[
        Topic {
            tag: "garten",
            title: "Aus dem Garten",
            sentences: &[
                "Die Tomaten sind rot, die Schnecken leider auch schon da.",
                "Zum ersten Mal Quitten geerntet, und die Küche duftet bis unters Dach.",
                "Der Igel wohnt jetzt offiziell unter unserem Holzstapel.",
            ],
        },
        Topic {
            tag: "bahn",
            title: "Unterwegs",
            sentences: &[
                "Der Zug war pünktlich, und niemand im Abteil konnte es fassen.",
                "Zwischen Koblenz und Mainz lohnt sich immer ein Platz am Fenster.",
                "Im Speisewagen mit drei Fremden Skat gespielt und knapp verloren.",
            ],
        },
        Topic {
            tag: "musik",
            title: "Probenabend",
            sentences: &[
                "Unser Chor übt für das Herbstkonzert, und der Bass sucht noch Verstärkung.",
                "Das alte Klavier ist gestimmt und klingt wieder wie ein Versprechen.",
                "Gestern im Konzert saß neben mir ein Kind, das jeden Ton mitdirigiert hat.",
            ],
        },
        Topic {
            tag: "bücher",
            title: "Gelesen",
            sentences: &[
                "Drei Kapitel vor Schluss weiß ich immer noch nicht, wem ich glauben soll.",
                "Die Buchhandlung an der Ecke hat mir wieder genau das Richtige empfohlen.",
                "Wer Kurzgeschichten mag, sollte sich diesen Band nicht entgehen lassen.",
            ],
        },
    ],
    comments: &[
        "Wie schön!",
        "Das kenne ich nur zu gut.",
        "Erzähl mehr davon.",
        "Sehe ich anders, aber gut geschrieben.",
        "Danke fürs Teilen.",
        "Wo war das denn?",
    ],
};

pub(super) const TURKISH: Language = Language {
    code: "tr",
    share: 5,
    between: " ",
    family_first: false,
    given_names: &[
        ("Elif", "elif"),
        ("Deniz", "deniz"),
        ("Mert", "mert"),
        ("Zeynep", "zeynep"),
        ("Emre", "emre"),
        ("Gül", "gul"),
    ],
    family_names: &[
        ("Kaya", "kaya"),
        ("Demir", "demir"),
        ("Şahin", "sahin"),
        ("Aydın", "aydin"),
        ("Öztürk", "ozturk"),
        ("Çelik", "celik"),
    ],
    bios: &[
        "Kitap, kedi, kahve.",
        "Hafta sonları dağlarda.",
        "Öğretmen ve sabırlı bir bahçıvan.",
        "",
    ],
    leads: &["Günaydın!", "Bugün küçük bir şey öğrendim.", "Haftanın özeti:"],
    closers: &["Siz ne dersiniz?", "Öneriniz var mı?", "Yarın yine deneyeceğim."],
    topics: &[
        Topic {
            tag: "kahve",
            title: "Kahve molası",
            sentences: &[
                "Mahalledeki küçük kahveci sonunda açıldı, kokusu bütün sokağı sardı.",
                "Cezveyi kısık ateşte bekletmek sabır işi ama değiyor.",
                "Kahvenin yanına bir parça lokum, başka bir şey istemem.",
            ],
        },
        Topic {
            tag: "deniz",
            title: "Sahilden",
            sentences: &[
                "Sabah erken saatte deniz çarşaf gibiydi.",
                "Vapurda simit yiyen martılar benden daha çok eğleniyor.",
                "Balıkçılar bugün güzel bir gün geçirdi, yüzlerinden belliydi.",
            ],
        },
        Topic {
            tag: "kitap",
            title: "Okuma notları",
            sentences: &[
                "Bu romanın son sayfasını bitirmek istemiyorum.",
                "Sahafta dedemin çocukken okuduğu baskıyı buldum.",
                "Şiir kitapları yavaş okunmalı, bunu yeni anladım.",
            ],
        },
        Topic {
            tag: "bahçe",
            title: "Balkon bahçesi",
            sentences: &[
                "Balkondaki domatesler ilk meyvesini verdi.",
                "Fesleğenin kokusu bütün mutfağa yayıldı.",
                "Komşudan aldığım nane her yeri kapladı.",
            ],
        },
    ],
    comments: &[
        "Çok güzel olmuş!",
        "Ben de aynısını düşünüyordum.",
        "Biraz daha anlatır mısın?",
        "Eline sağlık.",
        "Katılmıyorum ama güzel anlatmışsın.",
    ],
};
