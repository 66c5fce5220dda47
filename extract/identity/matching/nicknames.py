"""Short and other forms of given names, by the name they stand for.

One form may stand for several names (Pat, Sam): two registrations agree where any name that one may
stand for is one that the other may stand for. A form that is missing here costs a link, or puts it
on the review list; it never makes one.
"""

from __future__ import annotations

_FORMS = """
abigail: abby abbie gail
alexander: alex sandy xander sasha
alexandra: alex sandra sandy sasha
alfred: al alf fred freddie
alice: ali ally
amanda: mandy
andrew: andy drew
angela: angie
anna: ann anne annie nan nancy
anthony: tony antonio anton antony
barbara: barb babs barbie
beatrice: bea trixie
benjamin: ben benny benji
bernard: bernie
bridget: bridie biddy
carolyn: carol carrie lynn
cecilia: celia cissy
charles: charlie chuck chas carlos karl
charlotte: lottie charlie
christina: chris chrissy tina kirsten
christopher: chris kit topher
clara: claire clare
daniel: dan danny
david: dave davey
deborah: deb debbie debby debra
dennis: denny
dorothy: dot dottie dolly dora
edith: edie
edward: ed eddie ted teddy ned eduardo
eleanor: ellie nell nellie nora lenore
elena: helen helena lena ellen
elizabeth: liz lizzie beth betty betsy eliza lisa libby elsie isabel
emily: em emmy
eric: rick ricky
eugene: gene
evelyn: eve evie
florence: flo flossie
frances: fran frannie francie
francis: frank frankie fran
franklin: frank
frederick: fred freddie fritz
gabriel: gabe
gerald: gerry jerry
gloria: glory
gregory: greg gregg
harold: hal harry
helen: nell nellie ellen helena
henry: harry hank hal enrique
irene: rene
isabel: isabella izzy bella belle
jacob: jake
jacqueline: jackie
james: jim jimmy jamie jaime
janet: jan
jason: jay
jeffrey: jeff geoff
jennifer: jen jenny
jessica: jess jessie
joan: joanie joanna joanne
john: johnny jack ian jon juan ivan jan johann
jonathan: jon jonny nathan
joseph: joe joey jose giuseppe
joshua: josh
judith: judy jude
katherine: kate katie kathy kat kit kitty catherine cathy cate kathleen katrina
kenneth: ken kenny
kevin: kev
larry: lawrence laurence laurie
leonard: len lenny leo
louis: lou louie luis
louise: lou lulu
margaret: peggy peg maggie meg megan madge marge margie rita daisy greta
maria: mary marie mariam
mark: marcus marco
martha: marty patty
mary: molly polly maria marie mamie
matthew: matt matty
michael: mike mickey mick mikey miguel mikhail
naomi: nomi
nathaniel: nate nathan nat
nicholas: nick nicky nico klaus
olga: olya
pamela: pam
patricia: pat patty tricia trish
patrick: pat paddy
paul: paulie pablo pavel
pedro: peter
peter: pete petey
philip: phil pip
raymond: ray
rebecca: becky becca
richard: rich rick ricky dick ricardo
robert: bob bobby rob robbie bert roberto
ronald: ron ronnie
rosa: rose rosie
ryan: ry
samantha: sam sammy
samuel: sam sammy
sarah: sally sadie sara
scott: scotty
sofia: sophia sophie
stephen: steve stevie steven stephan
steven: steve stevie
susan: sue susie suzanne susannah
theodore: ted teddy theo
theresa: terry tess tessa teresa tracy
thomas: tom tommy tomas
timothy: tim timmy
ursula: ulla
vera: veronica
victor: vic viktor
victoria: vicky tori vickie
virginia: ginny ginger
walter: walt wally
wanda: wendy
william: bill billy will willy liam guillermo
zachary: zach zack
"""


def nickname_pairs() -> list[tuple[str, str]]:
    """Return (form, name it may stand for) in lower case without accents."""
    pairs = []
    for line in _FORMS.strip().splitlines():
        name, _, forms = line.partition(":")
        pairs += [(form, name) for form in forms.split()]
    return sorted(set(pairs))
