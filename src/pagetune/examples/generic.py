"""Titles that name a part of any document and so ask for nothing."""

from __future__ import annotations

import re
from functools import lru_cache

from pagetune.layout.language import squash, strip_numbering
from pagetune.layout.words import UNSPACED, fold

_GENERIC = """
    abbreviations; about; about the author; about the authors; about this book; about this document;
    about this guide; about this manual; abstract; acknowledgement; acknowledgements; acknowledgment; acknowledgments;
    acronyms; afterword; aims; annex; annexes; appendices; appendix; author; authors; background; bibliography;
    changelog; change log; changes; chapter; citations; colophon; computational details; concluding remarks;
    conclusion; conclusions; conclusions and outlook; conclusion and discussion; contact; contents; copyright;
    contributors; credits; dedication; definitions; discussion; disclaimer; editors; epilogue;
    exercises; faq; figures;
    final remarks; foreword; frequently asked questions; further information; further reading; future work;
    general introduction; general remarks; getting help; getting started; glossary; goals; history; imprint; index;
    introduction; introduction and overview; introductory remarks; keywords; legal notice; license; licence; links;
    list of abbreviations; list of algorithms; list of figures; list of listings; list of symbols; list of tables;
    literature; literature cited; miscellaneous; miscellanea; motivation; nomenclature; notation; notes; objectives;
    other; outline; outlook; overview; part; preface; preliminaries; problems; prologue; publications; purpose;
    questions; recommended reading; references; related work; release notes; remarks; resources; revision history;
    scope; section; see also; session info; sessioninfo; short contents; source; sources; summary;
    summary and conclusions; summary and discussion; supplementary material; table of contents;
    tables; thanks; title page;
    to do; todo; trademarks; version history; warranty; what s new; works cited;
    abbildungsverzeichnis; anhang; anhänge; ausblick; danksagung; diskussion; einführung; einleitung; fazit; glossar;
    grundlagen; impressum; inhalt; inhaltsverzeichnis; kapitel; literatur; literaturverzeichnis; nachwort;
    quellen; quellenverzeichnis; register; schluss; schlussbemerkung; stichwortverzeichnis; tabellenverzeichnis;
    überblick; vorwort; vorbemerkung; zusammenfassung; zusammenfassung und ausblick; ziele; sachregister;
    annexe; annexes; aperçu; avant propos; bibliographie; bilan; conclusion générale; glossaire;
    introduction générale;
    mentions légales; perspectives; préface; présentation; références; références bibliographiques;
    remerciements; résumé;
    sommaire; table des matières; table des figures; vue d ensemble; discussion et conclusion;
    agradecimientos; anexo; anexos; apéndice; bibliografía; conclusión; conclusiones; contenido; glosario; índice;
    introducción; prefacio; presentación; prólogo; referencias; resumen; resumen general; discusión;
    appendice; bibliografia; conclusione; conclusioni; glossario; indice; introduzione; prefazione; premessa;
    ringraziamenti; riferimenti; sommario; riassunto;
    agradecimentos; conclusão; conclusões; introdução; prefácio; referências; resumo; sumário;
    bijlage; bijlagen; conclusies; dankwoord; inhoud; inhoudsopgave; inleiding; literatuur; literatuurlijst;
    samenvatting; voorwoord;
    目录; 目錄; 前言; 序; 序言; 绪论; 緒論; 引言; 导言; 概述; 概要; 简介; 簡介; 总则; 附录; 附錄; 参考文献;
    參考文獻; 参考资料; 索引; 术语; 术语表; 词汇表; 结论; 結論; 结语; 总结; 小结; 摘要; 致谢; 致謝; 版权; 版权声明;
    后记; 修订记录; 修订历史; 目次; はじめに; まえがき; 序文; 序論; 緒言; 概説; おわりに; まとめ; あとがき; 謝辞;
    付録; 補足; 参考; 用語集; さくいん; 改訂履歴; 奥付; 要旨; 要約; 목차; 차례; 서론; 서문; 머리말; 들어가며; 개요;
    결론; 맺음말; 요약; 부록; 참고문헌; 참고 문헌; 색인; 찾아보기; 용어집; 용어 정의; 감사의 글; содержание;
    оглавление; введение; предисловие; заключение; выводы; приложение; приложения; литература; список литературы;
    источники; указатель; предметный указатель; глоссарий; аннотация; общие положения; благодарности; вступ;
    передмова; висновки; додаток; додатки; зміст; література; список літератури; περιεχόμενα; εισαγωγή; πρόλογος;
    επίλογος; συμπεράσματα; σύνοψη; περίληψη; παράρτημα; παραρτήματα; βιβλιογραφία; αναφορές; ευρετήριο; γλωσσάρι;
    المحتويات; الفهرس; فهرس; جدول المحتويات; مقدمة; المقدمة; تمهيد; خاتمة; الخاتمة; خلاصة; الخلاصة; ملخص; الملخص;
    ملحق; الملاحق; المراجع; قائمة المراجع; المصادر; شكر وتقدير; فهرست; فهرست مطالب; پیشگفتار; نتیجه‌گیری; چکیده;
    پیوست; پیوست‌ها; منابع; واژه‌نامه; فہرست; پیش لفظ; תוכן; תוכן עניינים; תוכן העניינים; מבוא; הקדמה; סיכום; נספח;
    נספחים; ביבליוגרפיה; מקורות; מפתח; תקציר; विषय सूची; विषय-सूची; प्रस्तावना; परिचय; भूमिका; निष्कर्ष; सारांश;
    परिशिष्ट; संदर्भ; संदर्भ सूची; अनुक्रमणिका; शब्दावली; সূচিপত্র; ভূমিকা; উপসংহার; পরিশিষ্ট; তথ্যসূত্র;
    பொருளடக்கம்; முன்னுரை; முடிவுரை; அறிமுகம்; பின்னிணைப்பு; สารบัญ; คำนำ; บทนำ; บทสรุป; สรุป; ภาคผนวก; บรรณานุกรม;
    เอกสารอ้างอิง; ดัชนี; กิตติกรรมประกาศ; ອ້າງອີງ; ສາລະບານ; ບົດນຳ; មាតិកា; សេចក្តីផ្តើម; မာတိကာ; နိဒါန်း; mục lục;
    lời nói đầu; lời mở đầu; giới thiệu; mở đầu; kết luận; phụ lục; tài liệu tham khảo; tóm tắt; spis treści; wstęp;
    wprowadzenie; przedmowa; podsumowanie; wnioski; załącznik; załączniki; bibliografia; literatura; indeks;
    słownik; obsah; úvod; předmluva; závěr; shrnutí; příloha; přílohy; rejstřík; slovník; tartalom; tartalomjegyzék;
    bevezetés; előszó; összefoglalás; melléklet; irodalomjegyzék; sisällys; sisällysluettelo; johdanto; yhteenveto;
    liite; liitteet; lähteet; cuprins; introducere; concluzii; anexă; bibliografie; innehåll; inledning; förord;
    sammanfattning; bilaga; bilagor; källor; referenser; innledning; forord; sammendrag; vedlegg; indhold;
    indledning; bilag; içindekiler; giriş; önsöz; sonuç; özet; ek; ekler; kaynakça; dizin; daftar isi; pendahuluan;
    kesimpulan; lampiran; daftar pustaka
"""
_NEEDS_CONTEXT = """
    advanced topics; advanced usage; algorithm; algorithms; an example; analysis; application;
    applications; arguments;
    basic concepts; basic usage; basics; caveats; commands; concepts; configuration; data; default;
    defaults; description;
    details; environment; environment variables; evaluation; example; examples; experiments; files; first steps;
    functions; general; implementation; installation; kinds; limitations; main; methods; method;
    model; models; modules;
    more examples; name; options; output; input; parameters; procedure; properties; requirements;
    results; return value;
    settings; setup; simple example; a simple example; synopsis; syntax; terminology; theory; tips;
    types; usage; use; values;
    beispiel; beispiele; ergebnisse; methoden; verfahren; anwendung; anwendungen; exemple; exemples;
    méthode; méthodes;
    résultats; utilisation; ejemplo; ejemplos; métodos; resultados; uso; esempio; esempi; metodi; risultati;
    示例; 例子; 用法; 使用方法; 参数; 选项; 设置; 配置; 安装; 要求; 限制; 结果; 方法; 说明; 描述; 应用; 例; 使用例;
    使い方; 設定; 構成; 引数; オプション; 結果; 制限事項; 要件; 説明; インストール; 예; 예제; 사용법; 설정; 설치;
    옵션; 결과; 방법; 설명; 요구 사항; 제한 사항; пример; примеры; использование; параметры; настройка; установка;
    описание; результаты; методы; требования; ограничения; приклад; приклади; налаштування; παράδειγμα;
    παραδείγματα; αποτελέσματα; μέθοδοι; ρυθμίσεις; أمثلة; مثال; النتائج; الإعدادات; الاستخدام; الوصف; नतीजे;
    उदाहरण; परिणाम; उपयोग; विवरण; ตัวอย่าง; การใช้งาน; การตั้งค่า; การติดตั้ง; ผลลัพธ์; ví dụ; cài đặt; kết quả;
    przykład; przykłady; wyniki; metody; příklad; příklady; výsledky; örnek; örnekler; sonuçlar; exempel; resultat
"""
_REFERENCES = """
    bibliography; citations; literature; literature cited; publications; references; works cited; literatur;
    literaturverzeichnis; quellen; quellenverzeichnis; bibliographie; références; références bibliographiques;
    bibliografía; referencias; referencias bibliográficas; bibliografia; riferimenti; riferimenti bibliografici;
    referências; literatuur; literatuurlijst;
    参考文献; 參考文獻; 参考资料; 引用文献; 참고문헌; 참고 문헌; литература; список литературы; источники;
    література; список літератури; βιβλιογραφία; αναφορές; المراجع; قائمة المراجع; المصادر; منابع; ביבליוגרפיה;
    מקורות; संदर्भ; संदर्भ सूची; তথ্যসূত্র; บรรณานุกรม; เอกสารอ้างอิง; tài liệu tham khảo; literatura;
    irodalomjegyzék; lähteet; bibliografie; referenser; källor; kaynakça; daftar pustaka
"""
_LABEL = re.compile(
    r"第?[\d〇一二三四五六七八九十百]+[章节節部篇编編卷]|제?\d+[장절부]|(?:附录|附錄|付録|부록)[a-z\d一二三四五六]?"
    r"|(?:глава|раздел|часть|приложение|розділ|κεφάλαιο|chương|rozdział|kapitola|bölüm|अध्याय|บทที่|פרק|الفصل|فصل)[\divx]+"
)
"""What is left of "第三章" or "Глава 3" once it is squashed."""


@lru_cache(maxsize=3)
def _folded(titles: str) -> frozenset[str]:
    return frozenset(map(_key, titles.split(";")))


def _key(title: str) -> str:
    """Folded, and without the spaces that some put between the characters of a short title ("目 录")."""
    folded = fold(title)
    return folded.replace(" ", "") if UNSPACED.match(folded) else folded


def is_references(title: str) -> bool:
    """The title of a list of references."""
    return _key(strip_numbering(title)) in _folded(_REFERENCES)


def is_generic(title: str) -> bool:
    """A title like "Introduction" or "References", in any of many languages, with or without its number."""
    folded = fold(strip_numbering(title))
    if _key(folded) in _folded(_GENERIC) or not any(character.isalpha() for character in folded):
        return True
    return _only_a_label(folded) or _LABEL.fullmatch(squash(title)) is not None


def needs_context(title: str) -> bool:
    """A title like "Examples": fine below another title, nothing by itself."""
    words = [
        word
        for word in fold(strip_numbering(title)).split()
        if not word.isdigit() and (len(word) > 1 or UNSPACED.match(word))
    ]
    return _key(" ".join(words)) in _folded(_NEEDS_CONTEXT) or not words


def _only_a_label(folded: str) -> bool:
    words = folded.split()
    return len(words) == 2 and words[0] in {"chapter", "part", "appendix", "section", "kapitel", "teil", "chapitre"}
