//! One table of all classes: what each of them is, and what is nearly it. A class without samples does not compile.

use super::Filter;
use proctor_model::content::{Confidence, ContentClass};

/// Texts, written with marks: what is found stands between `«` and `»`. A `¦` is left out, so that nobody who looks for
/// secrets in source code finds one here; all of them are made up, or the published examples of their standards.
struct Samples {
    /// In each, what is marked is found as this class, and nothing else.
    found: &'static [&'static str],
    /// The same with a wrong check digit, length or letter: in none is anything found as this class.
    nearly: &'static [&'static str],
}

fn samples(class: ContentClass) -> Samples {
    match class {
        ContentClass::Email => Samples {
            found: &["write to «bob.smith@example.co.uk», please"],
            nearly: &[
                "write to bob.smith@example, please",
                "write to bob.smith@.co.uk, please",
                "write to bob smith at example.co.uk, please",
                "clone git@example.co.uk:acme/app.git, please",
            ],
        },
        ContentClass::Phone => Samples {
            found: &[
                "call «+1 (415) 555-2671» now",
                "tel: «020 7946 0958»",
                "call «011 44 20 7946 0958» now",
                "tel: «044 668 18 00»",
                "call «(+44) 20 7946 0958» now",
                "call «(+31)123-456789» now",
                "Paris «(+33) 1 23 45 67 89» now",
                "us («+44 20 7946 0958») now",
                "The building manager is Bob, «415-555-2671»",
                "Driver: John, «415-555-2671»",
                "Tracey Smith «415-555-2671»",
                "Larry Page «415-555-2671»",
                "電話は«080-1234-5678»です",
                "Телефон: «8 (912) 345-67-89»",
                "手机«138 1234 5678»",
            ],
            nearly: &[
                "call +1 41 55 now",
                "order 415-555-2671 shipped",
                "contact_id: 4012345678",
                "{\"mobile_app_id\": 4012345678}",
                "see 138 1234 5678 now",
                "Phys. Rev. E 73, 056101 (2006)",
                "contact us, 2549 (2004) 12",
                "PNAS 107, 10815-20 (2010)",
                "Boston, MA  02110-1301 USA",
                "an officer in 4155 2671",
                "call 47.6205,-122.3493 now",
                "contact: 2020-2023",
                "call 4155. 2671 is",
                "ABN 14 085 537 097",
            ],
        },
        ContentClass::Iban => Samples {
            found: &[
                "IBAN «GB29 NWBK 6016 1331 9268 19».",
                "to «DE89370400440532013000»",
                "IBAN «NO 9386011117947»",
                "IBAN «AO06004400006729503010102»",
            ],
            nearly: &[
                "IBAN GB28 NWBK 6016 1331 9268 19.",
                "to DE8937040044053201300",
                "to XX89370400440532013000",
                "order NO 9386011117947",
            ],
        },
        ContentClass::PaymentCard => Samples {
            found: &[
                "pay with «4111 1111 1111 1111» today",
                "pay with «378282246310005» today",
                "pay with «4111-1111 1111-1111» today",
                "pay with «3782 8224 6310 005» today",
                "pay with «060412345674» today",
                "card «581234567890123453» today",
                "Kort «4111111111111111» idag",
            ],
            nearly: &[
                "pay with 4111 1111 1111 1112 today",
                "pay with 37828224631000 today",
                "pay with 9111 1111 1111 1111 today",
                "the message 581234567890123453 was read",
            ],
        },
        ContentClass::UsSsn => Samples {
            found: &[
                "SSN «536-90-4399»",
                "My SSN is «123-45-6789»",
                "Committee member «219-09-9999»",
                "SSN-«536-90-4399»",
            ],
            nearly: &[
                "SSN 666-90-4399",
                "SSN 536-90-439",
                "SSN 536-9O-4399",
                "the number 123-45-6789",
                "SSN 4510-123-45-6789",
                "EMP-536-90-4399",
            ],
        },
        ContentClass::UkNino => Samples {
            found: &[
                "NI number «AB 12 34 56 C»",
                "employee «AB123456C» joined",
                "employee «AB-12-34-56-C» joined",
                "national insurance «ab123456c» joined",
            ],
            nearly: &[
                "employee AB123456E joined",
                "employee QQ123456C joined",
                "NI number AB 12 34 5 C",
                "part ab123456c there",
            ],
        },
        ContentClass::NlBsn => Samples {
            found: &["BSN: «111222333»"],
            nearly: &["BSN: 111222334", "BSN: 11122233"],
        },
        ContentClass::DeTaxId => Samples {
            found: &["Steuer-ID «36574261809»"],
            nearly: &["Steuer-ID 36574261808", "Steuer-ID 3657426180"],
        },
        ContentClass::FrNir => Samples {
            found: &[
                "NIR «2 55 08 14 168 025 38»",
                "NIR «185052A00412356»",
                "NIR «1 85 05 2A 004 123 56»",
            ],
            nearly: &[
                "NIR 2 55 08 14 168 025 39",
                "NIR 2 55 08 14 168 025 3",
                "NIR 185052C00412356",
            ],
        },
        ContentClass::EsDni => Samples {
            found: &[
                "DNI «12345678Z»",
                "NIE «X-1234567-L»",
                "DNI «12.345.678-Z»",
                "NIE «x-1234567l»",
            ],
            nearly: &[
                "DNI 12345678A",
                "DNI 1234567Z",
                "NIE X-1234567-A",
                "On 20240118 a new file",
                "entre 24000000 y 30000000",
            ],
        },
        ContentClass::ItCodiceFiscale => Samples {
            found: &[
                "codice fiscale «RSSMRA85T10A562S»",
                "codice fiscale «RSS MRA 85T10 A562S»",
            ],
            nearly: &[
                "codice fiscale RSSMRA85T10A562T",
                "codice fiscale RSSMRA85T10A562",
                "codice fiscale RSSMRA85F10A562S",
            ],
        },
        ContentClass::PlPesel => Samples {
            found: &["PESEL «44051401359»"],
            nearly: &["PESEL 44051401358", "PESEL 4405140135", "PESEL 44951401359"],
        },
        ContentClass::InAadhaar => Samples {
            found: &["Aadhaar «2341 2341 2346»"],
            nearly: &[
                "the number 2341 2341 2347 on file",
                "Aadhaar 2341 2341 234",
                "uid: 100123456789",
                "Aadhaar card, mobile +910361481106",
            ],
        },
        ContentClass::BrCpf => Samples {
            found: &["CPF «529.982.247-25»"],
            nearly: &["CPF 529.982.247-26", "CPF 529.982.247-2"],
        },
        ContentClass::EuVat => Samples {
            found: &[
                "VAT «DE136695976»",
                "the firm «DE 136 695 976» there",
                "the firm «BE 0428.759.497» there",
                "VAT no «de136695976»",
                "partita IVA «00743110157»",
                "VAT: «RO 21996566»",
                "VAT: «DE - 136695976»",
            ],
            nearly: &[
                "the firm DE136695975 there",
                "VAT DE13669597",
                "VAT US136695976",
                "le prix de 136 695 976 euros",
                "the firm 00743110157 there",
                "the firm RO 21996566 there",
            ],
        },
        ContentClass::PassportMrz => Samples {
            found: &[
                "«P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10»",
                "«V<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL8988901C4XXX4009078F96121096ZE184226B<<<<<<»",
                "«P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<»",
                "«L898902C36UTO7408122F1204159ZE184226B<<<<<10»",
            ],
            nearly: &[
                "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<\nL898902C46UTO7408122F1204159ZE184226B<<<<<10",
                "P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
                "p<utoeriksson<<anna<maria<<<<<<<<<<<<<<<<<<<\nL898902C36UTO7408122F1204159ZE184226B<<<<<10",
            ],
        },
        ContentClass::IpAddress => Samples {
            found: &[
                "from «203.0.113.77» at",
                "from «2001:db8::8a2e:370:7334» at",
                "from «2a00::1» at",
                "from «fe80::1» at",
                "The production replica is «10.20.30.40»",
                "Traceroute to «203.0.113.7»",
            ],
            nearly: &[
                "section 4.2.1.9 of it",
                "clause 8.5.1.2 of it",
                "Bump log4net from 2.0.8.0 to 2.0.15.0",
                "port 50:06:01:60:47:20:1d:3a",
                "from 203.0.113.277 at",
                "from 203.0.113 at",
                "from 2001:db8::8a2e::7334 at",
                "from dead::1 at",
            ],
        },
        ContentClass::MacAddress => Samples {
            found: &[
                "nic «00:1B:44:11:3A:B7».",
                "nic «00-1B-44-11-3A-B7».",
                "nic «001b.4411.3ab7».",
            ],
            nearly: &[
                "nic 00:1B:44:11:3A.",
                "nic 00:1B:44:11:3A:G7.",
                "nic 00-1B-44-11-3A-G7.",
                "nic 001b.4411.3ab7.1234.",
                "version 0012.4411.3217.",
            ],
        },
        ContentClass::CryptoAddress => Samples {
            found: &[
                "send to «1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNa» ok",
                "send to «bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq» ok",
                "send to «TRwRnzx8PxzxNCesXSm1QC2JBV2goPzqGR» ok",
                "send to «t1ZqpoGzYDZfbofe8sbvR1rS5XMUTKd6gNW» ok",
                "send to «rGyD8A2QENtrDpbNABfHtsLwG6H4YMvEmw» ok",
                "send to bitcoincash:«qpm2qsznhks23z7629mms6s4cwef74vcwvy22gdx6a» ok",
                "send to «0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAed» ok",
            ],
            nearly: &[
                "send to 1A1zP1eP5QGefi2DMPTfTL5SLmv7DivfNb ok",
                "send to bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdp ok",
                "send to 0x5AAeb6053F3E94C9b9A09f33669435E7Ef1BeAed ok",
                "send to 0x5aAeb6053F3E94C9b9A09f33669435E7Ef1BeAe ok",
            ],
        },
        ContentClass::DateOfBirth => Samples {
            found: &[
                "she was born on «12 March 1985» in",
                "DOB: «1985-03-12»",
                "Födelsedatum: «1985-03-12»",
                "生年月日 «1985-03-12»",
                "Né(e) le «12/03/1985»",
                "née le «1er janvier 1985» à Lyon",
                "nato a Roma il «12 marzo 1985»",
                "Nasceu em «1º de janeiro de 1985» em",
                "ur. «12 marca 1985» w",
                "Narodený «12. marca 1985» v",
                "nar. «12. 3. 1985» v",
                "Narozena «12. října 1985» v",
                "rođen «12. ožujka 1985». u",
                "Data nașterii: «12 martie 1985»",
                "Született: «1985. március 12».",
                "Doğum tarihi: «12 Ağustos 1985»",
                "Tanggal lahir: «12 Maret 1985»",
                "Ngày sinh: «12 tháng 3 năm 1985»",
                "Дата рождения: «12.03.1985»",
                "Родился «12 марта 1985» года",
                "Народився «12 березня 1985» року",
                "Γεννήθηκε στις «12 Μαρτίου 1985» στην",
                "تاريخ الميلاد: «12 مارس 1985»",
                "תאריך לידה: «12 במרץ 1985»",
                "जन्म तिथि: «12 मार्च 1985»",
                "วันเกิด: «12 มีนาคม 2528»",
                "出生日期: «1985年3月12日»",
                "生日: «1985年03月12日»",
                "«1985年3月12日»生まれ",
                "生年月日: «昭和60年3月12日»",
                "생년월일: «1985년 3월 12일»",
                "생일: «1985. 3. 12».",
            ],
            nearly: &[
                "発生日: 2024年3月12日",
                "发生日期: 2024年3月12日",
                "발생일: 2024년 3월 12일",
                "Рождество 25 декабря 1985",
                "NATO agreed on 12 March 1985",
                "出生日期: 1985年13月12日",
                "she was born on 32 March 1985 in",
                "DOB: 1985-13-12",
                "it was founded on 12 March 1985 in",
            ],
        },
        ContentClass::AwsKey => Samples {
            found: &[
                "have «AKIA¦QWERTYUIOP234567» here",
                "have «ANPA¦QWERTYUIOP234567» here",
                "aws_secret_access_key = «wJalrXUtnFEMIaK7MDEN¦GabPxRfiCYzzzKEY9QwA»",
            ],
            nearly: &[
                "have AKIA¦QWERTYUIOP23456 here",
                "have AKIA¦QWERTYUIOP2345678 here",
                "have AKIA¦QWERTYUIOP23456q here",
                "aws_secret_access_key = wJalrXUtnFEMIaK7MDEN¦GabPxRfiCYzzzKEY9Qw",
            ],
        },
        ContentClass::GcpKey => Samples {
            found: &[
                "have «1//0¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8» here",
                "have «AIza¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R» here",
                "have «GOCSPX-¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4» here",
            ],
            nearly: &[
                "have AIza¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7 here",
                "have AIza¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8 here",
                "have AIza¦a1B2c3D4e5F6g7H8i9J0!a1B2c3D4e5F6g7 here",
                "have GOCSPX-¦a1B2c3D4e5F6g7H8i9J0k1L2m3N here",
            ],
        },
        ContentClass::AzureKey => Samples {
            found: &[
                "AccountName=app;AccountKey=«VqLuHBHTN6c3CJAefxAN07UWMZkPM0eIno1L1IL8¦JImuXdDI9XacxbsoAW14iRTtfjLfQkF7ybM25Wpb5h9HPw==»;",
                "Endpoint=sb://app.example/;SharedAccessKey=«VqLuHBHTN6c3CJAefxAN¦XdDI9XacxbsoAW14iRTtfjLfQkF7ybM25Wpb5h9HPw==»",
                "have «VqLuHBHTN6c3CJAefxAN07UWMZkPM0eIno1L1IL8JImuXdDI9XacxbsoAW14iRTtfjLfQkF7ybM2¦+ASt5Wpb5A==» here",
                "have «abc8Q~¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7» here",
            ],
            nearly: &[
                "AccountName=app;AccountKey=VqLuHBHTN6c3CJAefxAN07UWMZkPM0eIno1L1IL;",
                "AccountName=app;AccountKey=abababababababababababababababababababababababababababababababababababababababab;",
                "have abc8Q~¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5 here",
                "have abcdQ~¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7 here",
            ],
        },
        ContentClass::GithubToken => Samples {
            found: &[
                "have «ghp_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8» here",
                "have «github_pat_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0» here",
            ],
            nearly: &[
                "have ghp_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R here",
                "have ghp_¦a1B2c3D4e5F6g7H8i9J0-a1B2c3D4e5F6g7H here",
                "have github_pat_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5 here",
            ],
        },
        ContentClass::GitlabToken => Samples {
            found: &[
                "have «glpat-¦a1B2c3D4e5F6g7H8i9J0» here",
                "have «glrtr-¦a1B2c3D4e5F6g7H8i9J0» here",
                "have «_gitlab_¦session=a1b2c3d4e5f60718293a4b5c6d7e8f90» here",
            ],
            nearly: &[
                "have glpat-¦a1B2c3D4e5F6g7H8i9J here",
                "have glpat-¦a1B2c3D4e5+a1B2c3D4e here",
            ],
        },
        ContentClass::SlackToken => Samples {
            found: &[
                "have «xoxb-¦12345678901-a1B2c3D4e5F6g7H8i9J0k1L2» here",
                "have «xoxc-¦12345678901-a1B2c3D4e5F6g7H8i9J0k1L2» here",
                "have «xoxd-¦a1B2c3D4e5F6g7H8i9J0%2Bk1L2%3D» here",
                "post to https://«hooks.slack.com/¦services/T01ABCDEF/B01ABCDEF/a1B2c3D4e5F6g7H8i9J0k1L2» now",
            ],
            nearly: &[
                "have xoxb-¦a1B2c3D4e here",
                "have xoxb-¦a1B2c+a1B2c3D4e here",
                "post to https://hooks.slack.com/¦guides/T01ABCDEF/B01ABCDEF/a1B2c3D4e5F6g7H8i9J0k1L2 now",
            ],
        },
        ContentClass::StripeKey => Samples {
            found: &[
                "have «sk_live_¦a1B2c3D4e5F6g7H8i9J0k1L2» here",
                "have «sk_org_¦a1B2c3D4e5F6g7H8i9J0» here",
                "have «rk_prod_¦a1B2c3D4e5» here",
                "have «whsec_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6» here",
            ],
            nearly: &[
                "have sk_live_¦a1B2c3D4e here",
                "have sk_live_¦a1B2c-a1B2c3D4e5F here",
                "have sk_test_¦placeholder here",
                "have whsec_¦a1B2c3D4e5F6g7H8i9J0k1L here",
            ],
        },
        ContentClass::OpenaiKey => Samples {
            found: &[
                "have «sk-proj-¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4» here",
                "have «sk-¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4» here",
            ],
            nearly: &[
                "have sk-proj-¦a1B2c3D4e5F6g7H8i9J0k1L here",
                "have sk-¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P here",
                "have sk-learn-is-a-library-for-machine-learning here",
            ],
        },
        ContentClass::AnthropicKey => Samples {
            found: &[
                "have «sk-ant-¦api03-a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0» here",
            ],
            nearly: &["have sk-ant-¦api03-a1B2c3D4e5F6g7H8i here"],
        },
        ContentClass::TwilioKey => Samples {
            found: &[
                "have «AC¦a1b2c3d4e5f60718293a4b5c6d7e8f90» here",
                "have «SK¦a1b2c3d4e5f60718293a4b5c6d7e8f90» here",
            ],
            nearly: &[
                "have AC¦a1b2c3d4e5f60718293a4b5c6d7e8f9 here",
                "have SK¦a1b2c3d4e5f60718293a4b5c6d7e8f900 here",
                "have AC¦A1B2C3D4E5F60718293A4B5C6D7E8F90 here",
                "have AD¦a1b2c3d4e5f60718293a4b5c6d7e8f90 here",
            ],
        },
        ContentClass::SendgridKey => Samples {
            found: &[
                "have «SG.¦a1B2c3D4e5F6g7H8i9J0k1.a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V» here",
            ],
            nearly: &[
                "have SG.¦a1B2c3D4e5F6g7H8i9J0k1.a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s here",
                "have SG.¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2 here",
            ],
        },
        ContentClass::NpmToken => Samples {
            found: &["have «npm_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8» here"],
            nearly: &[
                "have npm_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R here",
                "have npm_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R80 here",
            ],
        },
        ContentClass::PypiToken => Samples {
            found: &[
                "have «pypi-AgE¦IcHlwaS5vcmca1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4» here",
            ],
            nearly: &[
                "have pypi-AgE¦IcHlwaS5vcmca1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s here",
                "have pypi-BgE¦IcHlwaS5vcmca1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4 here",
            ],
        },
        ContentClass::HuggingfaceToken => Samples {
            found: &[
                "have «hf_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7» here",
                "have «api_org_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7» here",
            ],
            nearly: &[
                "have hf_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o here",
                "have hf_¦a1B2c3D4e5F6g7H8i9J0-a1B2c3D4e5F6g here",
                "have api_org_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o here",
            ],
        },
        ContentClass::Jwt => Samples {
            found: &[
                "have «eyJ¦hbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U» here",
                "have «ewogICJ¦hbGciOiAiSFMyNTYiCn0.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N» here",
                "have «eyJ¦hbGciOiJkaXIiLCJlbmMiOiJBMjU2R0NNIn0..48V1_ALb6US04U3b.5eym8TW_c8SuK0ltJ3rpYIzOeDQz7TALvtu6UG9oMo4vpzs9tX.XFBoMYUZodetZdvTiFvSkQ» here",
            ],
            nearly: &[
                "have eyJ¦hbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9 here",
                "have eyJ¦hbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.JzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U here",
                "have eyJ¦abc.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9PlFUP0THsR8U here",
            ],
        },
        ContentClass::PrivateKey => Samples {
            found: &[
                "«-----BEGIN ¦PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASC\n-----END PRIVATE KEY-----» after",
                "«-----BEGIN RSA ¦PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASC\n-----END RSA PRIVATE KEY-----» after",
                "«PuTTY-User-Key-¦File-3: ssh-ed25519\nEncryption: none\nPrivate-Lines: 1\nAAAAIHrj\nPrivate-MAC: 9f8e7d6c5b4a3928»\nx",
                "«PuTTY-User-Key-¦File-3: ssh-ed25519 Encryption: none Comment: me Private-Lines: 1 AAAAIHrj Private-MAC: 9f8e7d6c5b4a39289f8e7d6c5b4a3928 »please rotate this key",
                "«PuTTY-User-Key-¦File-2: ssh-rsa\nEncryption: none\nComment: PuTTY-User-Key-File-x y\nPrivate-Lines: 1\nAAAAIHrj\nPrivate-MAC: 9f8e7d6c5b4a3928»\nx",
                "«PuTTY-User-Key-¦File-2: ssh-rsa\nEncryption: none\nComment: Private-MAC: 0\nPublic-Lines: 1\nAAAAB3Nz\nPrivate-Lines: 1\nAAAAIHrj\nPrivate-MAC: 9f8e7d6c5b4a3928»\nx",
                "«---- BEGIN SSH2 ENCRYPTED ¦PRIVATE KEY ----\nP2/56wAAA\n---- END SSH2 ENCRYPTED PRIVATE KEY ----»\nx",
                "«---- BEGIN SSH2 ENCRYPTED ¦PRIVATE KEY ----\nComment: \"---- END SSH2 ENCRYPTED PRIVATE KEY ----\"\nP2/56wAAA\n---- END SSH2 ENCRYPTED PRIVATE KEY ----»\nx",
                "{\"kty\":\"EC\",\"d\":\"«870MB6gfuTJ4HtUnUvYM¦yJpr5eUZNP4Bk43bVdj3eAE»\"}",
            ],
            nearly: &[
                "-----BEGIN PUBLIC KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASC\n-----END PUBLIC KEY----- after",
                "----BEGIN ¦PRIVATE KEY----\nMIIEvQIBADANBgkqhkiG9w0BAQ\nEFAASC\n----END PRIVATE KEY---- after",
            ],
        },
        ContentClass::UrlCredentials => Samples {
            found: &[
                "postgres:¦//app:«Gh7¦xQ9»@db:5432/x",
                "https:¦//app:«Gh7/x?¦Q#9»@db.example.com/x",
                "https:¦//«Zx81qLmP09¦aBcD77tR4w»@db.example.com/x",
            ],
            nearly: &[
                "https://a-name-of-many-words@db.example.com/x",
                "https://db:port/path@x",
                "postgres://app@db:5432/x",
                "postgres://app:${DB_PASSWORD}@db:5432/x",
                "https://host:8080/path@x",
            ],
        },
        ContentClass::ConnectionString => Samples {
            found: &[
                "Server=db;User Id=sa;Password=«s3cr3t¦!Pw»;",
                "Server=db;UID=sa;PWD=«q9!L¦m2#x»;",
                "jdbc:oracle:thin:app/«Gh7¦xQ9»@db.example.com:1521/x",
            ],
            nearly: &[
                "Server=db;User Id=sa;Password=required;",
                "Server=db;User Id=sa;Password=a1!;",
                "jdbc:oracle:thin:@db.example.com:1521/x",
                "Password=s3cr3t¦!Pw",
            ],
        },
        ContentClass::GenericSecret => Samples {
            found: &[
                "password: \"«hunter¦22»\"",
                "api_key: «9f8e7d6c5b¦4a39281706»",
                "SECRET_KEY_BASE=«9f8e7d6c5b4a¦39281706e5d4c3b2a1f0»",
                "db_key: \"«Zx81qLmP09¦aBcD77tR4w»\"",
                "mysql --password «s3cr3t-¦Pa55» db",
                "CREATE ROLE app WITH PASSWORD '«s3cr3t-¦Pa55»'",
                "SMTP_PASS=«s3cr3t-¦Pa55»",
                "password: str = \"«hunter¦22»\"",
                "Authorization: ApiKey «Zx81qLmP09¦aBcD77»",
                "token <- \"«Zx81qLmP09¦aBcD77»\"",
                "<password>«hunter¦22»</password>",
                "<add key=\"apiToken\" value=\"«Zx81qLmP09¦aBcD77»\"/>",
                "os.getenv(\"DB_PASSWORD\", \"«Hunter¦4821»\")",
                "sshpass -p «Hunter¦4821» ssh bob@host",
                "The password is «Hunter¦4821», they said",
                "have «1234567890:A¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7» here",
                "https://api.telegram.org/bot«1234567890:A¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7»/getMe",
                "to https://«discord.com/api/¦webhooks/123456789012345678/a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0e1F2-x_y» now",
                "have «glsa_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6_9f8e7d6c» here",
                "have «shpss_¦9f8e7d6c5b4a39281706E5D4C3B2A1F0» here",
                "have «9f8e7d6c5b4a39281706¦e5d4c3b2a1f0-us12» here",
                "have «a1B2c3D4e5F6g7.atlas¦v1.a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6q7R8s9T0u1V2w3X4y5Z6a7B8c9D0» here",
                "have «dop_v1_¦a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f90» here",
            ],
            nearly: &[
                "password: required",
                "api_key: 9f8e7d",
                "max_tokens: 4096123456",
                "cache_key=9f8e7d6c5b4a39281706e5d4c3b2a1f0",
                "idempotency-key: 550e8400-e29b-41d4-a716-446655440000",
                "use --password to be asked",
                "const token = localStorage.getItem(\"token\")",
                "password: hashedPassword,",
                "password = models.CharField(max_length=128)",
                "accessToken = tokenProvider.createAccessToken(user)",
                "password: DataTypes.STRING",
                "fields = (\"password\", \"address1\")",
                "docker run -p 8080a:80b img",
                "The password is 8-character",
                "Authorization: the header is sent by both",
                "\"password\": \"Mot de passe oublié\"",
                "'password' => 'hashed'",
                "/users?$skiptoken=a1B2c3D4e5F6g7H8i9J0",
                "have glsa_¦a1B2c3D4e5F6g7H8i9J0k1L2m3N4o5P6_9f8e7d6 here",
                "have live_stream_connection_timeout_in_ms_2024 here",
                "have cache-key-9f8e7d6c5b4a39281706e5d4c3b2a1f0 here",
                "have 9f8e7d6c5b4a39281706e5d4c3b2a1f0-us123 here",
                "have dop_v1_¦a1b2c3d4e5f60718293a4b5c6d7e8f90a1b2c3d4e5f60718293a4b5c6d7e8f9 here",
            ],
        },
    }
}

/// A sample without its marks, and what stood between them.
fn read(sample: &str) -> (String, String) {
    let plain = |text: &str| text.replace(['«', '»', '¦'], "");
    let marked = sample
        .split_once('«')
        .and_then(|(_, rest)| rest.split_once('»'));
    (
        plain(sample),
        marked.map_or_else(String::new, |(value, _)| plain(value)),
    )
}

/// Names of classes and texts, at the usual threshold.
fn found(filter: &Filter, text: &str) -> Vec<(String, String)> {
    let hits = filter.find(text, "").into_iter();
    let hits = hits.filter(|hit| hit.confidence > Confidence::Low);
    hits.map(|hit| {
        let name = filter.name(hit.class).to_owned();
        (name, text[hit.range].to_owned())
    })
    .collect()
}

#[test]
fn each_class_is_itself_and_what_is_nearly_it_is_not() {
    let filter = Filter::default();
    let mut wrong = Vec::new();
    for class in ContentClass::ALL.iter().copied() {
        let (name, samples) = (class.as_str(), samples(class));
        assert!(
            !samples.found.is_empty() && !samples.nearly.is_empty(),
            "{name} has no samples"
        );
        for sample in samples.found {
            let (text, value) = read(sample);
            assert!(!value.is_empty(), "{name}: nothing is marked in {sample}");
            let hits = found(&filter, &text);
            if hits != [(name.to_owned(), value)] {
                wrong.push(format!("{name}: {sample}: {hits:?}"));
            }
        }
        for sample in samples.nearly {
            let hits = found(&filter, &read(sample).0);
            if hits.iter().any(|(class, _)| class == name) {
                wrong.push(format!("{name}, which is none: {sample}: {hits:?}"));
            }
        }
    }
    // All at once: they are put right together.
    assert!(wrong.is_empty(), "{wrong:#?}");
}
