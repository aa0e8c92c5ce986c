/** Real files, made from a seed: pictures, invoices, templates. */
import { crc32, deflateSync } from 'node:zlib';
import type { Random } from './random.ts';

const SIDE = 96;

/** A PNG of coloured noise over a gradient: as hard to compress as a photograph. */
export function picture(random: Random): Buffer {
  const [red, green, blue] = [random.next(200), random.next(200), random.next(200)];
  const lines = Buffer.alloc(SIDE * (1 + 3 * SIDE));
  for (let y = 0, at = 0; y < SIDE; y++) {
    lines[at++] = 0; // no filter on this line
    for (let x = 0; x < SIDE; x++) {
      lines[at++] = red + random.next(56);
      lines[at++] = green + ((x + y) >> 2);
      lines[at++] = blue + random.next(56);
    }
  }
  const header = Buffer.alloc(13);
  header.writeUInt32BE(SIDE, 0);
  header.writeUInt32BE(SIDE, 4);
  header.set([8, 2], 8); // 8 bits a channel, RGB
  const signature = Buffer.from('\x89PNG\r\n\x1a\n', 'latin1');
  return Buffer.concat([
    signature,
    chunk('IHDR', header),
    chunk('IDAT', deflateSync(lines, { level: 1 })),
    chunk('IEND', Buffer.alloc(0)),
  ]);
}

function chunk(type: string, data: Buffer): Buffer {
  const out = Buffer.alloc(12 + data.length);
  out.writeUInt32BE(data.length, 0);
  out.write(type, 4, 'latin1');
  data.copy(out, 8);
  out.writeUInt32BE(crc32(out.subarray(4, 8 + data.length)), 8 + data.length);
  return out;
}

/** A PDF of one page. */
export function pdf(lines: string[]): Buffer {
  const text = lines.map((line) => `(${line.replace(/[\\()]/g, '\\$&')}) Tj T*`).join('\n');
  const content = `BT /F1 11 Tf 14 TL 60 780 Td\n${text}\nET`;
  const objects = [
    '<< /Type /Catalog /Pages 2 0 R >>',
    '<< /Type /Pages /Kids [3 0 R] /Count 1 >>',
    '<< /Type /Page /Parent 2 0 R /MediaBox [0 0 595 842] /Contents 4 0 R /Resources << /Font << /F1 5 0 R >> >> >>',
    `<< /Length ${content.length} >>\nstream\n${content}\nendstream`,
    '<< /Type /Font /Subtype /Type1 /BaseFont /Helvetica >>',
  ];
  let out = '%PDF-1.4\n';
  const offsets = objects.map((object, i) => {
    const at = out.length;
    out += `${i + 1} 0 obj\n${object}\nendobj\n`;
    return at;
  });
  const table = offsets.map((at) => `${String(at).padStart(10, '0')} 00000 n \n`).join('');
  const size = objects.length + 1;
  out += `xref\n0 ${size}\n0000000000 65535 f \n${table}trailer\n<< /Size ${size} /Root 1 0 R >>\nstartxref\n${out.length}\n%%EOF\n`;
  return Buffer.from(out, 'latin1');
}

/** An e-mail template. */
export function template(name: string): string {
  return `Subject: ${name}\n\nDear {{ customer.name }},\n\n${`This is about your order {{ order.id }}: ${name}. `.repeat(12)}\n\nYour shop\n`;
}
