/**
 * The least of an S3 server: it takes uploads in parts, counts their bytes and forgets them. For sizes that no server of a test machine holds. Prints its URL; ends
 * when stdin does.
 */
import { createServer, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';

let stored: { size: number; writer: string } | undefined;
let begun = { size: 0, writer: '' };

function xml(response: ServerResponse, body: string): void {
  response.writeHead(200, { 'content-type': 'application/xml' });
  response.end(`<?xml version="1.0"?>${body}`);
}

const server = createServer(async (request, response) => {
  const { pathname, searchParams: query } = new URL(request.url!, 'http://x');
  let size = 0;
  for await (const chunk of request) size += chunk.length;
  if (request.method === 'POST' && query.has('uploads')) {
    begun = { size: 0, writer: String(request.headers['x-amz-meta-dbs-writer'] ?? '') };
    xml(response, '<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>');
  } else if (request.method === 'POST') {
    stored = begun;
    xml(response, '<CompleteMultipartUploadResult><ETag>"whole"</ETag></CompleteMultipartUploadResult>');
  } else if (request.method === 'PUT') {
    begun.size += size;
    response.writeHead(200, { etag: '"part"' }).end();
  } else if (request.method === 'HEAD' && pathname.split('/').filter(Boolean).length > 1) {
    if (!stored) response.writeHead(404).end();
    else {
      const { size, writer } = stored;
      const headers = { 'content-length': size, etag: '"whole"', 'x-amz-meta-dbs-writer': writer };
      response.writeHead(200, { ...headers, 'last-modified': new Date().toUTCString() }).end();
    }
  } else response.writeHead(200).end();
});
server.listen(0, '127.0.0.1', () => console.log(`http://127.0.0.1:${(server.address() as AddressInfo).port}`));
process.stdin.resume().on('end', () => process.exit(0));
