"""The Spanish words and sentences of the story generator: data only, read by `stories`.

Written as in `stories_en`. Words that agree in gender are written "masculine/feminine"; nouns carry their
gender, and the contractions al and del are part of a place's forms, so that agreement is never guessed.
"""

from __future__ import annotations

from manticore.stories.grammar import words

# One sentence is one line, however long.
# ruff: noqa: E501


def thing_forms(noun: str, gender: str, colour: str) -> dict[str, str]:
    """Forms of a coloured thing; "of" holds the contraction del."""
    the, a = ("el", "un") if gender == "m" else ("la", "una")
    of = f"{'del' if gender == 'm' else 'de la'} {noun}"
    return {"the": f"{the} {noun}", "new": f"{a} {noun} {colour}", "of": of, "colour": colour}


def animal_forms(noun: str, gender: str, trait: str) -> dict[str, str]:
    """Forms of an animal; "of" holds the contraction del."""
    masculine = gender == "m"
    the, a = ("el", "un") if masculine else ("la", "una")
    return {
        "the": f"{the} {noun}",
        "new": f"{a} {noun} {trait}",
        "of": f"{'del' if masculine else 'de la'} {noun}",
    }


def person_forms(trait: str) -> dict[str, str]:
    """Forms of a person's trait."""
    return {"trait": trait}


def _place(noun: str, gender: str) -> dict[str, str]:
    masculine = gender == "m"
    return {
        "to": f"{'al' if masculine else 'a la'} {noun}",
        "at": f"en {'el' if masculine else 'la'} {noun}",
    }


NAMES = {
    "f": words(
        "Lucía Carmen Elena Marta Rosa Inés Julia Pilar Teresa Paula Clara Irene Sara Nuria Alba "
        "Rocío Laura Ana Beatriz Silvia Marina Lola Noelia Vera Adela Celia Luisa Olga Raquel Dalia"
    ),
    "m": words(
        "Pablo Diego Andrés Mateo Hugo Javier Luis Tomás Bruno Marcos Raúl Simón Jorge Emilio Rafael "
        "Óscar Manuel Julián Martín Nicolás Álvaro Ramón Sergio Víctor Felipe Joaquín Gabriel Iván "
        "Lucas Rubén"
    ),
}
JOBS = words(
    "panadero/panadera jardinero/jardinera pintor/pintora pastor/pastora carpintero/carpintera "
    "molinero/molinera marinero/marinera tejedor/tejedora cocinero/cocinera maestro/maestra "
    "granjero/granjera alfarero/alfarera relojero/relojera zapatero/zapatera pescador/pescadora "
    "leñador/leñadora herrero/herrera violinista apicultor/apicultora cartero/cartera"
)
TRAITS = words(
    "amable valiente curioso/curiosa tímido/tímida alegre paciente listo/lista tranquilo/tranquila "
    "generoso/generosa soñador/soñadora honrado/honrada prudente simpático/simpática terco/terca "
    "trabajador/trabajadora"
)
MOODS = (
    "feliz", "tranquilo/tranquila", "orgulloso/orgullosa", "agradecido/agradecida",
    "lleno/llena de esperanza", "cansado/cansada pero contento/contenta", "muerto/muerta de sueño",
    "un poco triste", "pensativo/pensativa", "muy contento/contenta", "en paz", "de buen humor",
)  # fmt: skip
HOMES = (
    "en un pueblo junto al mar", "en una casita cerca del río", "al borde de un bosque",
    "en una aldea entre colinas", "en una isla tranquila", "al lado de un viejo molino",
    "en un valle lleno de manzanos", "al pie de una montaña", "encima de una pequeña tienda",
    "en una casa con la puerta azul", "al final de un largo camino", "cerca del puerto",
    "en una casa de piedra", "a la orilla de un lago",
)  # fmt: skip
THINGS = tuple(
    (noun, gender)
    for gender, nouns in (
        (
            "f",
            "linterna flauta cesta cometa manta campana caja bufanda taza pelota bolsa llave vela pluma",
        ),
        ("m", "tambor sombrero espejo peine libro mapa anillo silbato abrigo farol pañuelo jarrón"),
    )
    for noun in words(nouns)
)
COLOURS = words(
    "rojo/roja azul verde amarillo/amarilla blanco/blanca negro/negra dorado/dorada "
    "plateado/plateada morado/morada marrón gris rosa naranja"
)
ANIMALS = tuple(
    (noun, gender)
    for gender, nouns in (
        ("m", "zorro búho burro oso gato erizo cuervo ciervo"),
        ("f", "cabra ardilla liebre garza tortuga paloma"),
    )
    for noun in words(nouns)
)
ANIMAL_TRAITS = words(
    "viejo/vieja joven delgado/delgada enorme pequeño/pequeña gris tranquilo/tranquila sabio/sabia "
    "hambriento/hambrienta simpático/simpática"
)
PLACES = tuple(
    _place(noun, gender)
    for noun, gender in (
        ("bosque", "m"), ("lago", "m"), ("viejo molino", "m"), ("montaña", "f"), ("mercado", "m"),
        ("faro", "m"), ("castillo en ruinas", "m"), ("playa", "f"), ("cueva", "f"), ("huerto", "m"),
        ("cascada", "f"), ("pradera", "f"), ("puente de madera", "m"), ("torre abandonada", "f"),
        ("jardín de las rosas", "m"), ("fuente de piedra", "f"),
    )
)  # fmt: skip
SPOTS = (
    "debajo de una piedra plana", "dentro de un árbol hueco", "detrás de un muro roto",
    "entre las raíces de un roble", "entre dos rocas", "en un barril viejo", "debajo de un banco",
    "detrás de un arbusto", "bajo un montón de hojas secas", "dentro de una olla de barro",
    "bajo un tronco caído", "en un agujero del suelo",
)  # fmt: skip
FOODS = (
    "pan con miel", "sopa caliente", "tarta de manzana", "castañas asadas", "queso con peras",
    "bizcocho de limón", "galletas de avena", "higos frescos", "arroz con leche", "huevos cocidos",
    "uvas dulces", "tortilla de patatas", "nueces con pasas", "patatas asadas", "empanada de atún",
)  # fmt: skip
SIGHTS = (
    "una garza blanca", "un arco iris doble", "un barco de vela", "una familia de ciervos",
    "un águila dorada", "una nube con forma de caballo", "una fila de hormigas", "una libélula azul",
    "una serpiente dormida al sol", "una bandada de gansos", "una estatua muy antigua",
    "una rana de color verde", "una telaraña llena de rocío", "una columna de humo",
)  # fmt: skip

RULES = {
    # Primera parte: quién, dónde, con qué.
    "opening": (
        "Había una vez {x?un/una} {x.job} muy {x.trait} que se llamaba {x.name} y vivía {x.home}.",
        "Hace mucho tiempo, {x.home}, vivía {x?un/una} {x.job} {x.trait} de nombre {x.name}.",
        "Esta es la historia de {x.name}, {x?un/una} {x.job} {x.trait} que vivía {x.home}.",
        "{x.name} era {x?un/una} {x.job} muy {x.trait}. Vivía {x.home}.",
        "Érase una vez {x?un/una} {x.job} {x.trait} que tenía su casa {x.home}. Se llamaba {x.name}.",
        "Hace muchos años {x?un/una} {x.job} {x.trait} vivía {x.home}. Todos {x?lo/la} llamaban {x.name}.",
    ),
    "owns": (
        "Tenía {o.new} y {o?lo/la} llevaba a todas partes.",
        "De todas sus cosas, la que más quería era {o.new}.",
        "Su abuela le había regalado {o.new}.",
        "Nunca salía de casa sin {o.new}.",
        "Siempre llevaba en las manos {o.new}.",
        "En un estante, sobre la cama, guardaba {o.new}.",
        "Una vez le había comprado {o.new} a un vendedor ambulante.",
    ),
    # Segunda parte: el día, la amistad, el camino.
    "weather": (
        "Una mañana [sky], [noticed].",
        "Era una mañana [sky] y [noticed].",
        "Un día de [season], [noticed].",
        "La mañana era [sky]. {x.name} miró por la ventana y vio que [noticed].",
        "Aquel año el [season] llegó pronto, y [noticed].",
    ),
    "sky": (
        "soleada",
        "ventosa",
        "fría",
        "cálida",
        "clara",
        "gris",
        "tranquila",
        "lluviosa",
        "luminosa",
        "helada",
    ),
    "season": ("verano", "otoño", "invierno"),
    "noticed": (
        "los pájaros cantaban",
        "las calles estaban vacías",
        "el aire olía a pan",
        "las campanas sonaban",
        "la hierba estaba mojada",
        "el viento jugaba con las hojas",
        "el mundo entero parecía esperar",
        "los perros ladraban sin motivo",
        "el humo subía recto de las chimeneas",
    ),
    "meets": (
        "Alguien llamó a la puerta. Era {y.name}, {y?el/la} {y.job}, con {p.new}.",
        "En el camino {x.name} encontró a {y.name}, {y?un/una} {y.job} {y.trait} que llevaba {p.new}.",
        "{y.name}, que era {y?un/una} {y.job} muy {y.trait}, vino de visita y trajo {p.new}.",
        "{x.name} recibió ese día a {y.name}, {y?el/la} {y.job}, que llegó con {p.new}.",
        "En ese momento apareció {y.name}, {y?el/la} {y.job}, y en su bolsa traía {p.new}.",
        "{x.name} fue a ver a {y.name}, {y?su vecino/su vecina}, que estaba limpiando {p.new}.",
    ),
    "invites": (
        "—Vamos {l.to} —dijo {x.name}.",
        "—Nunca he ido {l.to} —dijo {y.name}—. ¿Vienes conmigo?",
        "—Ven conmigo {l.to} —dijo {y.name}—, y volveremos antes de la noche.",
        "{x.name} quería ir {l.to}, y {y.name} también.",
        "—¡Qué buen día para ir {l.to}! —exclamó {y.name}.",
        "Hablaron un rato y decidieron ir {l.to}.",
        "—¿Conoces el camino para ir {l.to}? —preguntó {x.name}. —Creo que sí —dijo {y.name}.",
    ),
    "walks": (
        "Así que se pusieron en marcha [manner].",
        "Caminaron [manner] y hablaron de los viejos tiempos.",
        "Fueron [manner] por un camino [road].",
        "Era un camino [road], pero no les importó.",
        "Cantaron [manner] durante todo el camino.",
        "Tardaron [time] en llegar.",
        "Después de [time] llegaron.",
    ),
    "manner": (
        "despacio",
        "deprisa",
        "sin prisa",
        "de buen humor",
        "con alegría",
        "sin hacer ruido",
    ),
    "road": ("largo", "empinado", "estrecho", "embarrado", "lleno de piedras", "fácil", "tortuoso"),
    "time": ("una hora", "dos horas", "casi toda la mañana", "un buen rato", "medio día"),
    # Tercera parte: lo que pasó.
    "give": (
        "{x.name} le dio {o.the} a {y.name}.",
        "—Esto es para ti —dijo {x.name}, y puso {o.the} delante de {y.name}.",
        "A {y.name} le gustó tanto {o.the} que {x.name} se {o?lo/la} regaló.",
        "—Toma {o.the} —le dijo {x.name} a {y.name}—. Te hace más falta que a mí.",
        "{x.name} ya no quería {o.the} y se {o?lo/la} dio a {y.name}.",
        "{y.name} pidió {o.the}, y {x.name} se {o?lo/la} dio con una sonrisa [smile].",
        "Hicieron una apuesta. Perdió {x.name}, así que {o.the} pasó a manos de {y.name}.",
    ),
    "smile": ("cálida", "pequeña", "tímida", "amplia", "amistosa"),
    "swap": (
        "Decidieron hacer un cambio: {x.name} tomó {p.the} y {y.name} tomó {o.the}.",
        "—Dame {p.the} y yo te daré {o.the} —dijo {x.name}. {y.name} aceptó enseguida.",
        "{x.name} y {y.name} intercambiaron {o.the} y {p.the}, y el trato fue bueno.",
        "Al final {x.name} se quedó con {p.the} y {y.name} con {o.the}, pues fue un trato justo.",
        "—¿Cambiamos? —preguntó {x.name}. Así que {y.name} recibió {o.the}, y {x.name} recibió {p.the}.",
    ),
    "hide": (
        "{x.name} tenía miedo de los ladrones y escondió {o.the} {s.at}.",
        "{o.the} estorbaba, así que {x.name} {o?lo/la} dejó {s.at}.",
        "Cuando nadie miraba, {x.name} puso {o.the} {s.at}.",
        "—Dejaré {o.the} aquí, {s.at} —dijo {x.name}—, y nadie {o?lo/la} encontrará.",
        "Por seguridad, {x.name} guardó {o.the} {s.at}.",
        "{x.name} tropezó, y {o.the} fue a parar {s.at}.",
    ),
    "uncover": (
        "Pero {x.name} lo había visto todo y recuperó {o.the}.",
        "Un poco más tarde {x.name} encontró {o.the} por casualidad y se {o?lo/la} quedó.",
        "—¡Mira lo que he encontrado! —gritó {x.name}, levantando {o.the}.",
        "{x.name} no quiso dejar allí {o.the} y fue a buscar{o?lo/la}.",
        "Poco después {x.name} dio con {o.the} y {o?lo/la} recogió.",
    ),
    "find": (
        "De pronto {x.name} vio algo entre [grass]. ¡Era {o.new}!",
        "Entre [grass] {x.name} encontró {o.new} y {o?lo/la} recogió.",
        "—¿Qué es esto? —dijo {x.name}, y sacó {o.new} de entre [grass].",
        "{x.name} casi pisó {o.new}, que estaba entre [grass].",
        "Algo brillaba entre [grass]. {x.name} se agachó y recogió {o.new}.",
    ),
    "grass": ("la hierba", "la arena", "el barro", "las sombras", "las hojas secas", "las piedras"),
    "animal": (
        "Allí conocieron a {z.new} que se llamaba {z.name}.",
        "Alguien tosió a sus espaldas. Era {z.new}. —Me llamo {z.name} —dijo {z.the}.",
        "{z.new} descansaba {l.at}. —Buenos días —dijo—. Soy {z.name}.",
        "{l.at} vivía {z.new}, y su nombre era {z.name}.",
        "Poco después se les acercó {z.new}. {z?Lo/La} llamaban {z.name}.",
    ),
    "chat": (
        "—¿Os habéis perdido? —preguntó {z.name}. —Todavía no —dijo {x.name}.",
        "—No hablo con nadie desde hace [long] —dijo {z.name}.",
        "{z.name} les contó una historia sobre [tale].",
        "—¿Qué os trae por aquí? —preguntó {z.name}. {x.name} no supo qué responder.",
        "{x.name} le preguntó por [tale], pero {z.name} se echó a reír.",
    ),
    "long": ("una semana", "un mes", "un año entero", "siete días", "cien días"),
    "tale": (
        "la luna",
        "un rey perdido",
        "el primer invierno",
        "un río que hablaba",
        "los gigantes",
        "el mar",
    ),
    "meal": (
        "Se sentaron y comieron {f.name}.",
        "A mediodía tenían hambre, así que comieron {f.name} a la sombra.",
        "{x.name} abrió su bolsa y comieron {f.name}.",
        "—Tengo hambre —dijo {y.name}. Así que se detuvieron y comieron {f.name}.",
        "Descansaron un rato y comieron {f.name} con mucho gusto.",
        "Para almorzar comieron {f.name}, y nadie habló hasta terminar.",
    ),
    "sight": (
        "{x.name} levantó la vista y vio {v.a}.",
        "—¡Mira allí! —susurró {x.name}. Había visto {v.a}.",
        "Por un momento {x.name} vio {v.a}, y no dijo nada.",
        "Mientras {y.name} descansaba, {x.name} vio {v.a}.",
        "{x.name} se quedó {x?quieto/quieta}, porque acababa de ver {v.a}.",
        "No muy lejos {x.name} vio {v.a} y sonrió.",
    ),
    "then": (
        "El viento empezó a soplar [softly].",
        "Durante un rato nadie dijo nada.",
        "El sol se escondió detrás de una nube.",
        "En algún lugar un pájaro cantó [softly].",
        "El tiempo pasaba [softly].",
        "{x.name} se rio, y {y.name} también.",
        "—Me quedaría aquí para siempre —dijo {y.name}.",
        "—¿Has oído eso? —preguntó {x.name}. Solo era el viento.",
        "Cayeron unas gotas de lluvia, y luego dejó de llover.",
    ),
    "softly": ("suavemente", "con dulzura", "lentamente", "de un modo extraño", "sin descanso"),
    # Cuarta parte: la vuelta.
    "return": (
        "Cuando se puso el sol, volvieron a casa.",
        "Por fin se hizo de noche y se despidieron.",
        "Al atardecer regresaron [manner].",
        "Ya brillaban las estrellas cuando llegaron a casa.",
        "—Es tarde —dijo {y.name}, y dieron la vuelta.",
        "Y así terminó el día.",
    ),
    "feels": (
        "{x.name} estaba {x.mood}.",
        "Esa noche {x.name} estaba {x.mood}.",
        "{x.name} se sentó junto al fuego y estaba {x.mood}.",
        "En cuanto a {x.name}, estaba {x.mood}.",
        "Nadie lo notaba, pero {x.name} estaba {x.mood}.",
    ),
    # Quinta parte: lo que se vuelve a preguntar.
    "ask_holder": (
        "¿Quién tenía {o.the} al final?",
        "Al final, ¿quién tenía {o.the}?",
        "¿Quién tenía ahora {o.the}?",
    ),
    "reply_holder": ("{x.name} tenía {o.the}.",),
    "ask_hidden": (
        "¿Dónde estaba {o.the} al final?",
        "Al final, ¿dónde estaba {o.the}?",
        "¿Dónde estaba ahora {o.the}?",
    ),
    "reply_hidden": ("{o.the} estaba {s.at}.",),
    "ask_place": ("¿Adónde fueron {x.name} y {y.name}?", "¿Adónde fueron aquel día?"),
    "reply_place": ("Fueron {l.to}.",),
    "ask_home": ("¿Dónde vivía {x.name}?",),
    "reply_home": ("{x.name} vivía {x.home}.",),
    "ask_job": ("¿Cuál era el oficio de {x.name}?", "¿En qué trabajaba {x.name}?"),
    "reply_job": ("{x.name} era {x.job}.",),
    "ask_colour": ("¿De qué color era {o.the}?", "¿Recuerdas el color {o.of}?"),
    "reply_colour": ("{o.the} era {o.colour}.",),
    "ask_meal": ("¿Qué comieron?", "¿Qué comieron {x.name} y {y.name}?"),
    "reply_meal": ("Comieron {f.name}.",),
    "ask_sight": ("¿Qué vio {x.name}?",),
    "reply_sight": ("{x.name} vio {v.a}.",),
    "ask_animal": ("¿Cuál era el nombre {z.of}?", "¿Cómo se llamaba {z.the}?"),
    "reply_animal": ("{z.the} se llamaba {z.name}.",),
    "ask_mood": ("¿Cómo se sentía {x.name} esa noche?", "¿Cómo estaba {x.name} al final del día?"),
    "reply_mood": ("{x.name} estaba {x.mood}.",),
    "ask_giver": ("¿Quién le dio {o.the} a {y.name}?",),
    "reply_giver": ("{x.name} le dio {o.the} a {y.name}.",),
    "ask_finder": ("¿Quién encontró {o.the}?",),
    "reply_finder": ("{x.name} encontró {o.the}.",),
}
