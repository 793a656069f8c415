"""What people call the columns of questions and of answers in other languages than English.

Names of several words have an underscore here. Words that mean both, such as *text* of a review and
*text* of a reply, stand with the questions.
"""

from __future__ import annotations

QUESTION = """
frage aufgabe aufgabenstellung eingabe anweisung anfrage satz nachricht bewertungstext
pregunta entrada texto consulta instrucción enunciado mensaje frase oración reseña comentario
requête énoncé consigne texte entrée phrase avis commentaire
domanda testo richiesta istruzione messaggio recensione commento
pergunta instrução mensagem avaliação comentário
vraag opdracht invoer tekst zin bericht
pytanie polecenie wejście zdanie wiadomość zadanie opinia
otázka dotaz vstup věta zpráva úkol zadání
kérdés bemenet szöveg mondat üzenet utasítás
întrebare întrebarea intrare propoziție mesaj instrucțiune
pitanje upit poruka rečenica vprašanje
soru girdi metin cümle mesaj istem yorum
fråga indata mening meddelande spørgsmål spørsmål melding kysymys syöte teksti lause
klausimas tekstas jautājums teksts küsimus sõnum
câu_hỏi văn_bản đầu_vào pertanyaan masukan teks soalan
вопрос текст запрос ввод задание инструкция предложение сообщение отзыв задача
питання запитання запит введення повідомлення речення відгук завдання въпрос изречение питање
ερώτηση κείμενο είσοδος πρόταση μήνυμα
שאלה טקסט קלט הודעה משפט
سؤال السؤال نص النص مدخل المدخل رسالة جملة پرسش متن
คำถาม ข้อความ อินพุต ประโยค
प्रश्न सवाल पाठ इनपुट প্রশ্ন கேள்வி
问题 问 提问 题目 题干 输入 指令 提示 提示词 文本 内容 句子 评论 用户 问句
問題 問 提問 題目 輸入 文字 內容 評論 使用者 質問 入力 指示 文章 文 テキスト プロンプト 設問 問い
질문 문제 입력 지시 지시문 명령 텍스트 문장 내용 리뷰 프롬프트
"""

ANSWER = """
antwort lösung ausgabe ergebnis kategorie klasse stimmung etikett
respuesta salida resultado categoría etiqueta clase solución sentimiento
réponse sortie résultat catégorie étiquette classe
risposta uscita risultato categoria etichetta soluzione
resposta saída rótulo solução
antwoord uitvoer resultaat categorie oplossing
odpowiedź wyjście wynik kategoria etykieta klasa rozwiązanie
odpověď odpoveď výstup výsledek štítek řešení
válasz kimenet eredmény kategória címke megoldás
răspuns răspunsul ieșire rezultat etichetă
odgovor oznaka kategorija
cevap yanıt çıktı sonuç etiket kategori sınıf
svar utdata etikett lösning etikette vastaus tuloste luokka
atsakymas rezultatas atbilde vastus
trả_lời câu_trả_lời nhãn đầu_ra kết_quả đáp_án jawaban keluaran hasil jawapan
ответ вывод результат метка категория класс решение тональность
відповідь мітка категорія клас рішення отговор одговор
απάντηση έξοδος αποτέλεσμα κατηγορία ετικέτα
תשובה פלט תוצאה קטגוריה תווית
جواب الجواب إجابة الإجابة ناتج نتيجة تصنيف فئة پاسخ برچسب
คำตอบ เฉลย ผลลัพธ์ ป้ายกำกับ หมวดหมู่
उत्तर जवाब आउटपुट लेबल উত্তর பதில்
答案 答 回答 回复 答复 输出 标签 类别 分类 结果 情感 响应 正确答案 标准答案
回覆 答覆 輸出 標籤 類別 分類 結果 正確答案 解答 出力 応答 ラベル カテゴリ カテゴリー 正解 答え 返答
답변 답 대답 정답 응답 출력 결과 라벨 레이블 분류 감정
"""
