//! Spanish, Portuguese, French.

use super::{Language, Topic};

pub(super) const SPANISH: Language = Language {
    code: "es",
    share: 12,
    between: " ",
    family_first: false,
    given_names: &[
        ("Lucía", "lucia"),
        ("Mateo", "mateo"),
        ("Valentina", "valentina"),
        ("Diego", "diego"),
        ("Inés", "ines"),
        ("Joaquín", "joaquin"),
        ("Camila", "camila"),
        ("Andrés", "andres"),
    ],
    family_names: &[
        ("Fernández", "fernandez"),
        ("Rojas", "rojas"),
        ("Núñez", "nunez"),
        ("Ortega", "ortega"),
        ("Morales", "morales"),
        ("Castaño", "castano"),
        ("Vega", "vega"),
    ],
    bios: &[
        "Camino mucho y escribo poco.",
        "Maestra, lectora y aprendiz de guitarra.",
        "Del sur, siempre con hambre.",
        "",
    ],
    leads: &["¡Buenos días!", "Cosas que aprendí hoy:", "No me lo esperaba."],
    closers: &["¿Qué opinan?", "¿Alguna recomendación?", "Mañana les cuento más."],
    topics: &[
        Topic {
            tag: "cocina",
            title: "En la cocina",
            sentences: &[
                "La receta de mi abuela lleva tres horas, y las dos primeras son para conversar.",
                "Hoy hice tortilla sin romperla y quiero que conste en acta.",
                "El mercado del barrio huele a naranja y a pan recién hecho.",
            ],
        },
        Topic {
            tag: "viajes",
            title: "De camino",
            sentences: &[
                "Perdimos el autobús y ganamos una tarde entera junto al río.",
                "En este pueblo todo el mundo saluda, hasta los perros.",
                "La mejor vista de la ciudad está en la azotea de la biblioteca.",
            ],
        },
        Topic {
            tag: "fútbol",
            title: "Desde la grada",
            sentences: &[
                "Empatamos en el último minuto y la calle entera salió al balcón.",
                "Mi hija juega de portera y yo sufro como nunca.",
                "No hay nada como un partido de barrio un domingo por la mañana.",
            ],
        },
        Topic {
            tag: "libros",
            title: "Lecturas",
            sentences: &[
                "Este libro se lee en una noche y se piensa durante un mes.",
                "Encontré una carta de 1962 dentro de una novela de segunda mano.",
                "Releer también es una manera de volver a casa.",
            ],
        },
    ],
    comments: &[
        "¡Qué bueno!",
        "Me pasó lo mismo la semana pasada.",
        "Cuéntanos más, por favor.",
        "No estoy de acuerdo, pero lo explicas muy bien.",
        "Gracias por compartirlo.",
        "Me alegraste el día.",
    ],
};

pub(super) const PORTUGUESE: Language = Language {
    code: "pt",
    share: 9,
    between: " ",
    family_first: false,
    given_names: &[
        ("Beatriz", "beatriz"),
        ("João", "joao"),
        ("Luísa", "luisa"),
        ("Thiago", "thiago"),
        ("Inês", "ines"),
        ("Rafael", "rafael"),
        ("Marina", "marina"),
    ],
    family_names: &[
        ("Silva", "silva"),
        ("Araújo", "araujo"),
        ("Conceição", "conceicao"),
        ("Moreira", "moreira"),
        ("Teixeira", "teixeira"),
        ("Barros", "barros"),
    ],
    bios: &[
        "Praia, pão de queijo e poesia.",
        "Engenheira que prefere bicicletas.",
        "Ouvindo mais do que falando.",
        "",
    ],
    leads: &["Bom dia, gente!", "Hoje aprendi uma coisa.", "Quem diria."],
    closers: &["E vocês, o que acham?", "Alguém tem uma dica?", "Amanhã conto o resto."],
    topics: &[
        Topic {
            tag: "praia",
            title: "À beira-mar",
            sentences: &[
                "O mar estava calmo e a areia ainda fria às seis da manhã.",
                "Aprendi a surfar aos quarenta e só caí vinte vezes.",
                "Depois da chuva, o céu sobre a baía ficou cor de manga.",
            ],
        },
        Topic {
            tag: "música",
            title: "No violão",
            sentences: &[
                "A roda de samba da praça começou com três pessoas e terminou com a rua inteira.",
                "Troquei as cordas do violão e os vizinhos agradeceram.",
                "Há canções que só fazem sentido em viagem de ônibus.",
            ],
        },
        Topic {
            tag: "café",
            title: "Café coado",
            sentences: &[
                "Café coado na hora e bolo de fubá: a tarde está salva.",
                "A padaria da esquina sabe o meu pedido antes de mim.",
                "Moer o grão na hora muda tudo, não é mito.",
            ],
        },
        Topic {
            tag: "livros",
            title: "Na estante",
            sentences: &[
                "Li o primeiro capítulo em pé na livraria e levei o livro para casa.",
                "Minha avó sublinhava os livros a lápis, e hoje converso com ela nas margens.",
                "Esse conto cabe em cinco páginas e não sai da cabeça.",
            ],
        },
    ],
    comments: &[
        "Que lindo!",
        "Pensei a mesma coisa ontem.",
        "Conta mais, por favor.",
        "Discordo um pouco, mas gostei do texto.",
        "Obrigada por compartilhar.",
        "Onde fica isso?",
    ],
};

pub(super) const FRENCH: Language = Language {
    code: "fr",
    share: 9,
    between: " ",
    family_first: false,
    given_names: &[
        ("Camille", "camille"),
        ("Étienne", "etienne"),
        ("Aïcha", "aicha"),
        ("Lucas", "lucas"),
        ("Chloé", "chloe"),
        ("Théo", "theo"),
        ("Manon", "manon"),
    ],
    family_names: &[
        ("Lefèvre", "lefevre"),
        ("Moreau", "moreau"),
        ("Diallo", "diallo"),
        ("Girard", "girard"),
        ("Fontaine", "fontaine"),
        ("Benoît", "benoit"),
    ],
    bios: &[
        "Libraire, marcheuse, gourmande.",
        "Je collectionne les cartes postales.",
        "Toujours en retard, jamais sans livre.",
        "",
    ],
    leads: &[
        "Bonjour à tous !",
        "Petite découverte du jour.",
        "On en apprend tous les jours.",
    ],
    closers: &["Qu'en pensez-vous ?", "Vous avez des conseils ?", "La suite demain."],
    topics: &[
        Topic {
            tag: "cuisine",
            title: "À table",
            sentences: &[
                "La tarte était un peu brûlée, mais il n'en reste rien.",
                "Au marché, le fromager m'a fait goûter six fromages et j'en ai acheté sept.",
                "Le secret de la soupe, c'est de la laisser tranquille.",
            ],
        },
        Topic {
            tag: "randonnée",
            title: "Sur le sentier",
            sentences: &[
                "Partis dans le brouillard, arrivés au-dessus des nuages.",
                "Au refuge, tout le monde partage son chocolat et ses histoires.",
                "Nous avons croisé plus de marmottes que de promeneurs.",
            ],
        },
        Topic {
            tag: "cinéma",
            title: "Dans la salle",
            sentences: &[
                "La salle était presque vide et le film magnifique.",
                "Deux heures sans regarder ma montre, c'est bon signe.",
                "On est restés jusqu'à la fin du générique, pour la musique.",
            ],
        },
        Topic {
            tag: "jardin",
            title: "Au jardin",
            sentences: &[
                "Les premières fraises sont arrivées, et les merles le savent déjà.",
                "J'ai planté un figuier sans savoir où je serai quand il donnera des fruits.",
                "Il a plu toute la nuit et le jardin a l'air reposé.",
            ],
        },
    ],
    comments: &[
        "Très joli !",
        "Je me disais justement la même chose.",
        "Raconte-nous la suite.",
        "Pas tout à fait d'accord, mais bien dit.",
        "Merci pour le partage.",
        "C'était où ?",
    ],
};
