"""Titles that name a part of any document and so ask for nothing."""

from __future__ import annotations

from pagetune.layout.language import strip_numbering
from pagetune.layout.words import fold

_GENERIC = {
    fold(title)
    for title in """
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
    samenvatting; voorwoord
    """.replace("\n", " ").split(";")
}
_NEEDS_CONTEXT = {
    fold(title)
    for title in """
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
    résultats; utilisation; ejemplo; ejemplos; métodos; resultados; uso; esempio; esempi; metodi; risultati
    """.replace("\n", " ").split(";")
}


_REFERENCES = {
    fold(title)
    for title in """
    bibliography; citations; literature; literature cited; publications; references; works cited; literatur;
    literaturverzeichnis; quellen; quellenverzeichnis; bibliographie; références; références bibliographiques;
    bibliografía; referencias; referencias bibliográficas; bibliografia; riferimenti; riferimenti bibliografici;
    referências; literatuur; literatuurlijst
    """.replace("\n", " ").split(";")
}


def is_references(title: str) -> bool:
    """The title of a list of references."""
    return fold(strip_numbering(title)) in _REFERENCES


def is_generic(title: str) -> bool:
    """A title like "Introduction" or "References", in any of several languages, with or without its number."""
    folded = fold(strip_numbering(title))
    return folded in _GENERIC or not any(character.isalpha() for character in folded) or _only_a_label(folded)


def needs_context(title: str) -> bool:
    """A title like "Examples": fine below another title, nothing by itself."""
    words = [word for word in fold(strip_numbering(title)).split() if not word.isdigit() and len(word) > 1]
    return " ".join(words) in _NEEDS_CONTEXT or not words


def _only_a_label(folded: str) -> bool:
    words = folded.split()
    return len(words) == 2 and words[0] in {"chapter", "part", "appendix", "section", "kapitel", "teil", "chapitre"}
