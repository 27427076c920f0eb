//! What a password is called in some language: labels of fields, which stand where a password goes and are none.

/// What a password is called, as texts of a program say it in the language of who uses it, and what else they say of it
/// alone: that it has to be put in.
const PASSWORD_IN_WORDS: [&str; 76] = [
    "adgangskode",
    "clave",
    "contrasena",
    "contrasenya",
    "contraseña",
    "contrasinal",
    "fjalëkalim",
    "geheimnis",
    "geslo",
    "haslo",
    "hasło",
    "heslo",
    "jelszo",
    "jelszó",
    "kennwort",
    "losenord",
    "lozinka",
    "lykilorð",
    "lösenord",
    "motdepasse",
    "nenosiri",
    "palavra-passe",
    "parol",
    "parola",
    "parole",
    "parool",
    "pasahitza",
    "passcode",
    "passord",
    "passphrase",
    "passwort",
    "salasana",
    "senha",
    "sifre",
    "slaptažodis",
    "wachtwoord",
    "wagwoord",
    "şifre",
    "şifrə",
    "κωδικός",
    "гасло",
    "лозинка",
    "парол",
    "пароль",
    "сырсөз",
    "құпиясөз",
    "գաղտնաբառ",
    "סיסמא",
    "סיסמה",
    "گذرواژه",
    "पासवर्ड",
    "পাসও",
    "ਪਾਸਵਰਡ",
    "પાસવર્ડ",
    "கடவுச்சொல்",
    "పాస్వర్డ్",
    "ಪಾಸ್ವರ್ಡ್",
    "പാസ്വേഡ്",
    "මුරපදය",
    "รหัสผ่าน",
    "ລະຫັດຜ່ານ",
    "စကားဝှက်",
    "პაროლი",
    "ពាក្យសម្ងាត់",
    "パスワード",
    "入力",
    "口令",
    "密码",
    "密碼",
    "必填",
    "必須",
    "暗証番号",
    "輸入",
    "输入",
    "비밀번호",
    "암호",
];

/// Longest label, in bytes.
const LABEL_BYTES_MAX: usize = 128;

/// Whether a value only says what it would be: `"password": "Passwort"`.
pub(super) fn is_called(value: &str) -> bool {
    // Longer than any of them.
    if value.len() > 48 {
        return false;
    }
    let bare = value.trim_end_matches([':', '*', '.', '!', '?', '…']);
    let lower = bare.to_lowercase();
    PASSWORD_IN_WORDS.contains(&lower.as_str())
}

/// `סיסמה`, `पासवर्ड`, `Пароль:`, `密码 (必填)`: letters of which some are none of ASCII's, and what stands between words.
/// People choose passwords of such letters, too. So a label has the word for a password in it, or ends as labels do, or has
/// blanks.
pub(super) fn is_translated(value: &str) -> bool {
    if value.is_ascii() || value.len() > LABEL_BYTES_MAX {
        return false;
    }
    let bare = value.trim_end_matches([':', '*', '.', '!', '?', '…']);
    let between = |c: char| {
        c.is_whitespace()
            || matches!(c, '-' | '\'' | '’' | '(' | ')')
            || matches!(c, '\u{3000}'..='\u{303f}' | '\u{ff01}'..='\u{ff0f}' | '\u{ff1a}'..='\u{ff20}')
    };
    let fits = |c: char| c.is_alphabetic() || is_mark(c) || between(c);
    let is_other = |c: char| !c.is_ascii() && (c.is_alphabetic() || is_mark(c));
    let is_text = bare.chars().all(fits) && bare.chars().any(is_other);
    let ends = value.ends_with([':', '*', '?', '…', '：', '＊', '？']);
    let says_so = || ends || bare.contains(char::is_whitespace) || has_word(bare);
    is_text && !has_hump(bare) && says_so()
}

/// `МояФраза`: no language is written so.
fn has_hump(text: &str) -> bool {
    let mut pairs = text.chars().zip(text.chars().skip(1));
    pairs.any(|(a, b)| a.is_lowercase() && b.is_uppercase())
}

/// Whether a password is called by its name, whatever marks are set to the letters.
fn has_word(text: &str) -> bool {
    let letters = text.chars().filter(|c| !is_point(*c));
    let plain: String = letters.flat_map(char::to_lowercase).collect();
    PASSWORD_IN_WORDS.iter().any(|word| plain.contains(word))
}

/// What may be left out: accents that stand by themselves, points of Hebrew and Arabic, what joins letters.
fn is_point(c: char) -> bool {
    matches!(c,
        '\u{300}'..='\u{36f}'
        | '\u{591}'..='\u{5c7}'
        | '\u{610}'..='\u{61a}'
        | '\u{64b}'..='\u{65f}'
        | '\u{200c}'..='\u{200d}')
}

/// What is written above, below or between letters, and counts as none of them: vowels of Hebrew, Arabic, Indic and Thai.
fn is_mark(c: char) -> bool {
    is_point(c)
        || !c.is_numeric()
            && matches!(c,
            '\u{900}'..='\u{dff}'
            | '\u{e31}'..='\u{e4e}'
            | '\u{eb1}'..='\u{ecd}'
            | '\u{f71}'..='\u{fbc}'
            | '\u{102b}'..='\u{103e}'
            | '\u{17b4}'..='\u{17d3}'
            | '\u{3099}'..='\u{309a}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_in_other_languages() {
        for value in [
            "密碼",
            "密码：",
            "パスワードを入力",
            "비밀번호",
            "סיסמה",
            "סִיסְמָה",
            "Пароль",
            "Новый пароль:",
            "पासवर्ड",
            "รหัสผ่าน",
            "كلمة المرور",
            "Mật khẩu",
            "Κωδικός",
            "Contraseña*",
            "密码 (Password)",
            "必填",
            "新しいパスワード",
            "Новыйпароль",
            "Palavra-passe atual\u{a0}é",
            "Parolă",
            "ПАРОЛЬ",
            "పాస్\u{200c}వర్డ్",
            "Contrasen\u{303}a",
            "Schlüssel:",
            "Mot de passe oublié\u{a0}?",
        ] {
            assert!(is_translated(value), "{value}");
        }
        for value in [
            "Пароль1",
            "Schmetterlingsflügel",
            "МояСекретнаяФраза",
            "МойПароль",
            "CañónDeMontaña",
            "CañónDeMontaña:",
            "hunt\u{435}r",
            "schön2023",
            "£uckyDay",
            "grün+blau",
            "ключ_42",
            "●●●●●●",
        ] {
            assert!(!is_translated(value), "{value}");
        }
    }
}
