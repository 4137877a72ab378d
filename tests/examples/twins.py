"""One manual in several languages: the same structure, headings, captions and sentences, word for word."""

from __future__ import annotations

from manuals import Row, page_of

from pagetune.records import Document, OutlineEntry, Page

SUBJECTS = {
    "en": [
        "the payment",
        "the password",
        "the account",
        "the loan",
        "the report",
        "the invoice",
        "the contract",
        "the card",
    ],
    "zh": ["付款交易", "登录密码", "银行账户", "贷款申请", "年度报告", "采购发票", "租赁合同", "信用卡片"],
    "ja": [
        "支払い取引",
        "暗証番号",
        "銀行口座",
        "融資申請",
        "年次報告書",
        "購入請求書",
        "賃貸契約",
        "クレジットカード",
    ],
    "ko": ["결제 거래", "로그인 암호", "은행 계좌", "대출 신청", "연차 보고서", "구매 송장", "임대 계약", "신용 카드"],
    "th": ["การชำระเงิน", "รหัสผ่าน", "บัญชีธนาคาร", "คำขอสินเชื่อ", "รายงานประจำปี", "ใบแจ้งหนี้", "สัญญาเช่า", "บัตรเครดิต"],
    "hi": [
        "भुगतान लेनदेन",
        "लॉगिन पासवर्ड",
        "बैंक खाता",
        "ऋण आवेदन",
        "वार्षिक रिपोर्ट",
        "खरीद चालान",
        "किराया अनुबंध",
        "क्रेडिट कार्ड",
    ],
    "ar": [
        "عملية الدفع",
        "كلمة المرور",
        "الحساب البنكي",
        "طلب القرض",
        "التقرير السنوي",
        "فاتورة الشراء",
        "عقد الإيجار",
        "بطاقة الائتمان",
    ],
    "ru": [
        "платёж клиента",
        "пароль входа",
        "банковский счёт",
        "заявку на кредит",
        "годовой отчёт",
        "счёт поставщика",
        "договор аренды",
        "кредитную карту",
    ],
    "el": [
        "την πληρωμή",
        "τον κωδικό",
        "τον λογαριασμό",
        "το δάνειο",
        "την έκθεση",
        "το τιμολόγιο",
        "τη σύμβαση",
        "την κάρτα",
    ],
    "km": [
        "ការទូទាត់ប្រាក់",
        "ពាក្យសម្ងាត់",
        "គណនីធនាគារ",
        "ពាក្យសុំកម្ចី",
        "របាយការណ៍ប្រចាំឆ្នាំ",
        "វិក្កយបត្រទិញ",
        "កិច្ចសន្យាជួល",
        "កាតឥណទាន",
    ],
}
HEADING = {
    "en": "Changing {s} online",
    "zh": "在线更改{s}",
    "ja": "{s}のオンライン変更",
    "ko": "온라인으로 {s} 변경하기",
    "th": "การเปลี่ยนแปลง{s}ออนไลน์",
    "hi": "ऑनलाइन {s} बदलना",
    "ar": "تغيير {s} عبر الإنترنت",
    "ru": "Как изменить {s} через интернет",
    "el": "Αλλαγή για {s} στο διαδίκτυο",
    "km": "ការផ្លាស់ប្តូរ{s}តាមអ៊ីនធឺណិត",
}
CAPTION = {
    "en": "Figure {n}: Screen on which {s} is changed",
    "zh": "图 {n}：更改{s}的操作界面",
    "ja": "図{n}　{s}を変更する画面",
    "ko": "그림 {n}. {s} 변경 화면 구성",
    "th": "รูปที่ {n} หน้าจอสำหรับเปลี่ยนแปลง{s}",
    "hi": "चित्र {n}: {s} बदलने की स्क्रीन",
    "ar": "شكل {n}: شاشة تغيير {s}",
    "ru": "Рис. {n}. Экран, где можно изменить {s}",
    "el": "Εικόνα {n}: Οθόνη αλλαγής για {s}",
    "km": "រូបភាពទី {n}៖ អេក្រង់សម្រាប់ផ្លាស់ប្តូរ{s}",
}
SENTENCES = {
    "en": [
        "First choose {s} in the menu on the left and then press the green button.",
        "If {s} cannot be changed, the system shows a message and the reason for it.",
        "As a rule the office checks {s} within two working days and tells you the result.",
    ],
    "zh": [
        "请先在左侧的菜单中选择{s}，然后按下绿色的按钮。",
        "如果{s}不能更改，系统会显示一条消息，并且说明原因。",
        "办公室一般在两个工作日之内检查{s}，并且把结果告诉您。",
    ],
    "ja": [
        "まず左側のメニューで{s}を選び、それから緑色のボタンを押してください。",
        "{s}を変更できない場合は、システムがメッセージとその理由を表示します。",
        "通常、事務所は二営業日以内に{s}を確認し、その結果をお知らせします。",
    ],
    "ko": [
        "먼저 왼쪽 메뉴에서 {s} 항목을 선택한 다음 초록색 단추를 누르십시오.",
        "만약 {s} 항목을 바꿀 수 없으면 시스템이 그 이유를 화면에 표시합니다.",
        "사무소는 보통 이틀 안에 {s} 내용을 확인하고 그 결과를 알려 드립니다.",
    ],
    "th": [
        "ขั้นแรกให้เลือก{s}ในเมนูด้านซ้ายแล้วกดปุ่มสีเขียว ",
        "ถ้าไม่สามารถเปลี่ยน{s}ได้ระบบจะแสดงข้อความและเหตุผลบนหน้าจอ ",
        "โดยปกติสำนักงานจะตรวจสอบ{s}ภายในสองวันทำการและแจ้งผลให้ท่านทราบ ",
    ],
    "hi": [
        "पहले बाईं ओर के मेनू में {s} चुनें और फिर हरा बटन दबाएँ। ",
        "यदि {s} नहीं बदला जा सकता, तो सिस्टम एक संदेश और उसका कारण दिखाता है। ",
        "आम तौर पर कार्यालय दो कार्य दिवसों में {s} की जाँच करता है और आपको परिणाम बताता है। ",
    ],
    "ar": [
        "اختر أولا {s} من القائمة التي على اليسار ثم اضغط على الزر الأخضر. ",
        "إذا لم يكن من الممكن تغيير {s} فإن النظام يعرض رسالة مع بيان السبب. ",
        "عادة ما يراجع المكتب {s} في غضون يومي عمل ثم يبلغكم بالنتيجة. ",
    ],
    "ru": [
        "Сначала выберите {s} в меню слева, а затем нажмите на зелёную кнопку. ",
        "Если изменить {s} нельзя, то система покажет на экране сообщение и его причину. ",
        "Как правило, наш отдел проверит {s} за два рабочих дня и сообщит вам о результате. ",
    ],
    "el": [
        "Πρώτα επιλέξτε {s} από το μενού στα αριστερά και μετά πατήστε το πράσινο κουμπί. ",
        "Αν δεν μπορείτε να αλλάξετε {s}, το σύστημα δείχνει ένα μήνυμα με την αιτία. ",
        "Συνήθως το γραφείο ελέγχει {s} μέσα σε δύο εργάσιμες ημέρες και σας ενημερώνει. ",
    ],
    "km": [
        "ដំបូងសូមជ្រើសរើស{s}ក្នុងម៉ឺនុយខាងឆ្វេង ហើយចុចប៊ូតុងពណ៌បៃតង។",
        "ប្រសិនបើមិនអាចផ្លាស់ប្តូរ{s}បានទេ ប្រព័ន្ធនឹងបង្ហាញសារនិងមូលហេតុ។",
        "ជាធម្មតាការិយាល័យពិនិត្យ{s}ក្នុងរយៈពេលពីរថ្ងៃធ្វើការ ហើយប្រាប់លទ្ធផលដល់អ្នក។",
    ],
}
CLOSING = {"en": "Case {n} of the manual applies. ", "zh": "", "ja": "", "ko": ""}


def twin(language: str) -> tuple[Document, list[Page]]:
    """A manual of eight pages: a bookmark, a heading, three sentences on its subject and a caption a page, a folio."""
    outline, pages = [], []
    for number, subject in enumerate(SUBJECTS[language], start=1):
        title = HEADING[language].format(s=subject)
        rows: list[Row] = [(f"{number} {title}", 72, 700, 16)]
        outline.append(OutlineEntry(0, f"{number} {title}", number, 716.0))
        rows += _wrapped("".join(line.format(s=subject).rstrip() + _after(line) for line in SENTENCES[language]), 620)
        rows.append((CAPTION[language].format(n=number, s=subject), 72, 500, 11))
        rows.append((str(number), 300, 40, 9))
        pages.append(page_of(rows, number, language))
    return Document(language, f"{language}.pdf", language, "pdf", len(pages), outline=tuple(outline)), pages


def _after(line: str) -> str:
    return "" if line[-1] in "。។" else " "


def _wrapped(text: str, top: float) -> list[Row]:
    """Lines of a width, cut at spaces or, where there are none, anywhere between two words."""
    from pagetune.layout.words import spans

    lines, start, stop = [], 0, 0
    for at, end in spans(text):
        if end - start > (36 if text[0] > "\u2fff" else 70):
            lines.append(text[start:stop])
            start = at
        stop = end
    lines.append(text[start:stop])
    return [(line, 72, top - 15 * place, 11) for place, line in enumerate(lines)]
